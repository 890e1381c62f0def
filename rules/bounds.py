"""Two Mongo filters around a condition: ``surely`` finds only matches, ``possibly`` finds all of them.

Most conditions have a filter that means exactly the same, and both bounds are that filter. Where MongoDB cannot express
the condition (or only with a pattern that may stall it), the bounds differ. Both are kept because negation swaps them:
under ``none``, a filter that finds too many entities becomes one that finds too few.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Filter = dict[str, Any]  # of one key, a field or $and, $or, $nor; {} finds everything

EVERYTHING: Final[Filter] = {}
NOTHING: Final[Filter] = {"_id": {"$in": []}}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The filter whose results surely meet a condition, and the one whose results possibly do."""

    surely: Filter
    possibly: Filter

    @property
    def is_exact(self) -> bool:
        """Whether ``possibly`` finds exactly what meets the condition."""
        return self.surely is self.possibly

    def complement(self) -> "Bounds":
        """Return the bounds of the opposite condition."""
        if self.is_exact:
            return exact(complement(self.surely))
        return Bounds(complement(self.possibly), complement(self.surely))


def exact(filter_: Filter) -> Bounds:
    """Return the bounds of a condition that ``filter_`` says exactly."""
    return Bounds(filter_, filter_)


def bounds_of_all(parts: Sequence[Bounds]) -> Bounds:
    """Return the bounds of a condition that is met if all of ``parts`` are."""
    return _combined(parts, all_of)


def bounds_of_any(parts: Sequence[Bounds]) -> Bounds:
    """Return the bounds of a condition that is met if one of ``parts`` is."""
    return _combined(parts, any_of)


def all_of(filters: Iterable[Filter]) -> Filter:
    """Return the filter that finds what all of ``filters`` find."""
    parts = [filter_ for filter_ in filters if filter_ != EVERYTHING]
    if NOTHING in parts:
        return NOTHING
    if not parts:
        return EVERYTHING
    return parts[0] if len(parts) == 1 else {"$and": parts}


def any_of(filters: Iterable[Filter]) -> Filter:
    """Return the filter that finds what one of ``filters`` finds."""
    parts = [filter_ for filter_ in filters if filter_ != NOTHING]
    if EVERYTHING in parts:
        return EVERYTHING
    if not parts:
        return NOTHING
    return parts[0] if len(parts) == 1 else {"$or": parts}


def complement(filter_: Filter) -> Filter:
    """Return the filter that finds what ``filter_`` does not; on one field with ``$not``, which can use an index."""
    if filter_ == EVERYTHING:
        return NOTHING
    if filter_ == NOTHING:
        return EVERYTHING
    ((name, test),) = filter_.items()
    match name:
        case "$and":
            return {"$nor": [filter_]}
        case "$or":
            return {"$nor": test}
        case "$nor":
            return any_of(test)
        case _:
            return {name: test["$not"]} if "$not" in test else {name: {"$not": test}}


def _combined(parts: Sequence[Bounds], combine: Callable[[Iterable[Filter]], Filter]) -> Bounds:
    possibly = combine(part.possibly for part in parts)
    if all(part.is_exact for part in parts):
        return exact(possibly)
    return Bounds(combine(part.surely for part in parts), possibly)
