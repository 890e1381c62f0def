"""Dotted paths into documents, with array positions as plain numbers: ``address.city``, ``tags.0``."""

from collections.abc import Mapping
from typing import Any, Final


class _Missing:
    """The one value that stands for a field that is not there; it is false."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()


def value_at(document: Any, path: str) -> Any:
    """Return the value at a dotted path, or MISSING.

    Arrays are stepped into by position (``tags.0``); a name applied to an array gives the list of what its
    documents hold under that name, or MISSING if none holds it.
    """
    value = document
    names = path.split(".")
    for depth, name in enumerate(names):
        if isinstance(value, Mapping):
            value = value.get(name, MISSING)
        elif isinstance(value, list):
            if name.isdecimal():
                value = value[int(name)] if int(name) < len(value) else MISSING
            else:
                rest = ".".join(names[depth:])
                found = [value_at(item, rest) for item in value if isinstance(item, Mapping)]
                found = [item for item in found if item is not MISSING]
                return found or MISSING
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value
