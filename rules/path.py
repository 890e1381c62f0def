"""Dotted paths into documents, with array positions as plain numbers: ``address.city``, ``tags.0``."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson import DBRef

from rules.budget import Budget


class _Missing:
    """The one value that stands for a missing field; it is false."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()

_LONGEST_POSITION: Final = 9  # digits; no array is longer, and Python refuses to read very long numbers


def value_at(document: Any, path: str, budget: Budget | None = None) -> Any:
    """Return the value at a dotted path, or MISSING; raise TooCostly if that takes more than ``budget`` has left.

    Arrays are stepped into by position (``tags.0``); a name applied to an array gives the list of what its
    documents hold under that name, or MISSING if none holds it.
    """
    return _value(document, path.split("."), 0, budget or Budget())


def _value(value: Any, names: Sequence[str], depth: int, budget: Budget) -> Any:
    for at in range(depth, len(names)):
        name = names[at]
        if isinstance(value, Mapping):
            value = value.get(name, MISSING)
        elif isinstance(value, list) and name.isdecimal():
            position = int(name) if len(name) <= _LONGEST_POSITION else len(value)
            value = value[position] if position < len(value) else MISSING
        elif isinstance(value, list):
            budget.spend(len(value) * (4 + len(names) - at))
            found = [_value(item, names, at, budget) for item in value if isinstance(item, Mapping)]
            return [item for item in found if item is not MISSING] or MISSING
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def leaves_at(document: Mapping[str, Any], names: Sequence[str], budget: Budget | None = None) -> list[Any]:
    """Return what a MongoDB query finds at a path, arrays at its end as a whole; an array on the way has many leaves.

    Where a document on the way lacks the name, the leaf is MISSING; an array without documents has no leaf at all.
    Raise TooCostly as ``value_at`` does.
    """
    walk = _Walk(names, budget or Budget(), expands=False)
    walk.document(document, 0)
    return walk.found


def values_at(document: Mapping[str, Any], names: Sequence[str], budget: Budget | None = None) -> list[Any]:
    """Return the values a MongoDB query compares at a path: every leaf, and the elements of leaves that are arrays.

    Raise TooCostly as ``value_at`` does.
    """
    walk = _Walk(names, budget or Budget(), expands=True)
    walk.document(document, 0)
    return walk.found


class _Walk:
    """One walk along a path.

    Where a name is a number, it is both a position and a name: each array would be met twice as often as the one
    around it, so no array is looked through twice for the same rest of the path.
    """

    __slots__ = ("_budget", "_expands", "_names", "_seen", "found")

    def __init__(self, names: Sequence[str], budget: Budget, *, expands: bool) -> None:
        self._names = names
        self._budget = budget
        self._expands = expands
        self._seen: set[tuple[int, int]] = set()  # identity of an array, depth
        self.found: list[Any] = []

    def document(self, document: Mapping[str, Any], depth: int) -> None:
        """Look for ``names[depth:]`` in a document."""
        names = self._names
        self._budget.spend(len(names) - depth)
        for at in range(depth, len(names)):
            value = document.get(names[at], MISSING)
            is_end = at + 1 == len(names)
            if isinstance(value, list):
                if not is_end:
                    self.array(value, at + 1)
                    return
                if self._expands:
                    self._budget.spend(2 * len(value))
                    self.found.extend(value)
            elif not is_end:
                inner = _as_document(value)
                if inner is not None:
                    document = inner
                    continue
                value = MISSING
            self.found.append(value)
            return

    def array(self, array: list[Any], depth: int) -> None:
        """Look for ``names[depth:]`` in an array: in its documents, and at a position if the name is a number.

        An element reached by its position is compared as a whole, also when it is an array, as a server does it.
        """
        place = (id(array), depth)
        if place in self._seen:
            return
        self._seen.add(place)
        self._budget.spend(3 * len(array) + 5)
        position = _position(self._names[depth])
        for index, item in enumerate(array):
            inner = _as_document(item)
            if inner is not None:
                self.document(inner, depth)
            if index == position:
                self._element(item, inner, depth)

    def _element(self, item: Any, inner: Mapping[str, Any] | None, depth: int) -> None:
        if depth + 1 == len(self._names):
            self.found.append(item)
        elif inner is not None:
            self.document(inner, depth + 1)
        elif isinstance(item, list):
            self.array(item, depth + 1)


def _position(name: str) -> int:
    """Return the position in an array that a name stands for, -1 for none: ``00`` is a name only."""
    is_number = name.isascii() and name.isdecimal() and len(name) <= _LONGEST_POSITION
    return int(name) if is_number and str(int(name)) == name else -1


def _as_document(value: Any) -> Mapping[str, Any] | None:
    if type(value) is dict or isinstance(value, Mapping):
        return value
    return value.as_doc() if isinstance(value, DBRef) else None
