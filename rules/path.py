"""Dotted paths into documents, with array positions as plain numbers: ``address.city``, ``tags.0``."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson import DBRef


class _Missing:
    """The one value that stands for a field that is not there; it is false."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()

_LONGEST_POSITION: Final = 9  # digits; no array is longer, and Python refuses to read very long numbers


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
                position = int(name) if len(name) <= _LONGEST_POSITION else len(value)
                value = value[position] if position < len(value) else MISSING
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


def leaves_at(document: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Return what a MongoDB query finds at a path, arrays at its end as a whole; an array on the way has many leaves.

    Where a document on the way lacks the name, the leaf is MISSING; an array without documents has no leaf at all.
    """
    leaves: list[Any] = []
    _walk(document, names, 0, leaves, False)
    return leaves


def values_at(document: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Return the values a MongoDB query compares at a path: every leaf, and the elements of leaves that are arrays."""
    values: list[Any] = []
    _walk(document, names, 0, values, True)
    return values


def _walk(document: Mapping[str, Any], names: Sequence[str], depth: int, found: list[Any], expand: bool) -> None:
    for at in range(depth, len(names)):
        value = document.get(names[at], MISSING)
        is_end = at + 1 == len(names)
        if isinstance(value, list):
            if not is_end:
                _walk_array(value, names, at + 1, found, expand)
                return
            if expand:
                found.extend(value)
        elif not is_end:
            inner = _as_document(value)
            if inner is not None:
                document = inner
                continue
            value = MISSING
        found.append(value)
        return


def _walk_array(array: list[Any], names: Sequence[str], depth: int, found: list[Any], expand: bool) -> None:
    """Look for ``names[depth:]`` in an array: in its documents, and at a position if the name is a number.

    An element reached by its position is compared as a whole, also when it is an array, as a server does it.
    """
    name = names[depth]
    position = int(name) if name.isascii() and name.isdecimal() and len(name) <= _LONGEST_POSITION else -1
    if str(position) != name:
        position = -1
    is_end = depth + 1 == len(names)
    for index, item in enumerate(array):
        inner = _as_document(item)
        if inner is not None:
            _walk(inner, names, depth, found, expand)
        if index != position:
            continue
        if is_end:
            found.append(item)
        elif inner is not None:
            _walk(inner, names, depth + 1, found, expand)
        elif isinstance(item, list):
            _walk_array(item, names, depth + 1, found, expand)


def _as_document(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return value
    return value.as_doc() if isinstance(value, DBRef) else None
