"""Fields that are derived from dates and the present: ``last_activity_days_ago`` and the like.

``<name>_days_ago``, ``<name>_hours_ago`` and ``<name>_days_from_now`` count the days or hours, with fractions,
between the date and now. They read the date field ``<name>_at`` or, if that holds no date, ``<name>``; without a
date they are missing. A derived field always wins over a stored one of the same name.

Comparisons become whole milliseconds of distance, exactly, so that Python and MongoDB cannot disagree on a
rounding: greater_than 7 is older than 7 × 24 h, and equals compares whole days (hours), rounded down.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

from bson import Decimal128
from bson.datetime_ms import DatetimeMS

from config.error import WorkflowError, nearest
from rules.bounds import NOTHING, Bounds, Filter, all_of, any_of, bounds_of_all, bounds_of_any, exact
from rules.budget import Budget
from rules.expected import parse_nothing, parse_presence
from rules.path import MISSING, values_at
from rules.validation import found_at
from rules.value import Bracket, bracket_of, milliseconds

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_SUFFIXES: Final = (("_days_ago", _DAY_MS, -1), ("_hours_ago", _HOUR_MS, -1), ("_days_from_now", _DAY_MS, 1))
_FIRST_MS: Final = -(2**63)
_LAST_MS: Final = 2**63 - 1
_FIRST_DATE: Final = DatetimeMS(_FIRST_MS)

Interval = tuple[int | None, int | None]  # of a distance in milliseconds, both ends included; None: no end


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived field: the dotted paths of its two base fields, its unit, and +1 if it counts into the future."""

    bases: tuple[str, str]
    unit_ms: int
    sign: int
    names: tuple[Sequence[str], Sequence[str]]  # of the two paths

    def distances(self, entity: Mapping[str, Any], now_ms: int, budget: Budget) -> list[int]:
        """Return the distances from now, in milliseconds, of the dates in the first base field that has any."""
        for names in self.names:
            values = values_at(entity, names, budget)
            budget.spend(10 * len(values))
            found = [
                self.sign * (milliseconds(value) - now_ms) for value in values if bracket_of(value) is Bracket.DATE
            ]
            if found:
                return found
        return []

    def value(self, entity: Mapping[str, Any], now_ms: int, budget: Budget) -> Any:
        """Return the value to show: a number of days or hours, or MISSING."""
        found = self.distances(entity, now_ms, budget)
        return found[0] / self.unit_ms if found else MISSING


@dataclass(frozen=True, slots=True)
class Comparison:
    """A condition on a derived field: a distance within one of ``intervals``, or no date if ``or_absent``."""

    derived: Derived
    intervals: tuple[Interval, ...]
    or_absent: bool = False

    def is_met(self, entity: Mapping[str, Any], now_ms: int, budget: Budget) -> bool:
        """Return whether the entity meets it."""
        distances = self.derived.distances(entity, now_ms, budget)
        if not distances:
            return self.or_absent
        budget.spend(2 * len(distances) * len(self.intervals))
        return any(
            (low is None or low <= distance) and (high is None or distance <= high)
            for distance in distances
            for low, high in self.intervals
        )

    def bounds(self, now_ms: int) -> Bounds:
        """Return the same as filters on the base fields, which plain indexes on them can serve."""
        first, second = self.derived.bases
        no_date = exact(_without_date(first))
        found = [self._dated(first, now_ms), bounds_of_all([no_date, self._dated(second, now_ms)])]
        if self.or_absent:
            found.append(bounds_of_all([no_date, exact(_without_date(second))]))
        return bounds_of_any(found)

    def _dated(self, field: str, now_ms: int) -> Bounds:
        return bounds_of_any([_within(field, *self._dates(interval, now_ms)) for interval in self.intervals])

    def _dates(self, interval: Interval, now_ms: int) -> Interval:
        """Return the interval of dates, in milliseconds since 1970, for one of distances."""
        sign = self.derived.sign
        low, high = (None if end is None else now_ms + sign * end for end in interval)
        return (low, high) if sign > 0 else (high, low)


def derived_from(field: str) -> Derived | None:
    """Return what ``field`` is derived from, or None if it is a plain field."""
    parent, dot, name = field.rpartition(".")
    for suffix, unit_ms, sign in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base and base != name:
            bases = (f"{parent}{dot}{base}_at", f"{parent}{dot}{base}")
            return Derived(bases, unit_ms, sign, (bases[0].split("."), bases[1].split(".")))
    return None


def comparison(derived: Derived, operator: str, raw: object, path: str) -> tuple[Comparison, bool]:
    """Return the comparison of a condition, and whether the condition asks the opposite; raise WorkflowError if wrong.

    ``path`` leads to the condition.
    """
    positive, is_negated = _POSITIVES.get(operator, (operator, False))
    build = _ASKED.get(positive)
    if build is None:
        known = [*_ASKED, *_POSITIVES]
        problem = f"{operator} does not work on a derived field{nearest(operator, known)}; these do: {', '.join(known)}"
        raise WorkflowError(f"{path}.operator", problem)
    asked = build(derived, raw, f"{path}.value")
    if positive == "exists" and raw is False:
        is_negated = not is_negated
    return asked, is_negated


def _above(derived: Derived, raw: object, path: str) -> Comparison:
    return Comparison(derived, ((floor(_distance(derived, raw, path)) + 1, None),))


def _at_least(derived: Derived, raw: object, path: str) -> Comparison:
    return Comparison(derived, ((ceil(_distance(derived, raw, path)), None),))


def _below(derived: Derived, raw: object, path: str) -> Comparison:
    return Comparison(derived, ((None, ceil(_distance(derived, raw, path)) - 1),))


def _at_most(derived: Derived, raw: object, path: str) -> Comparison:
    return Comparison(derived, ((None, floor(_distance(derived, raw, path))),))


def _same(derived: Derived, raw: object, path: str) -> Comparison:
    """Whole units: 7 is from 7.0 up to just under 8.0; null is no date."""
    if raw is None:
        return Comparison(derived, (), or_absent=True)
    low = _distance(derived, raw, path)
    if low % derived.unit_ms:
        return Comparison(derived, ())
    return Comparison(derived, ((int(low), int(low) + derived.unit_ms - 1),))


def _one_of(derived: Derived, raw: object, path: str) -> Comparison:
    if not isinstance(raw, list):
        raise WorkflowError(path, f"expected a list of numbers, found {found_at(raw)}")
    parts = [_same(derived, item, f"{path}[{index}]") for index, item in enumerate(raw)]
    intervals = tuple(interval for part in parts for interval in part.intervals)
    return Comparison(derived, intervals, any(part.or_absent for part in parts))


def _present(derived: Derived, raw: object, path: str) -> Comparison:
    parse_presence(raw, path)
    return Comparison(derived, ((None, None),))


def _empty(derived: Derived, raw: object, path: str) -> Comparison:
    parse_nothing(raw, path)
    return Comparison(derived, (), or_absent=True)


_ASKED: Final[Mapping[str, Callable[[Derived, object, str], Comparison]]] = {
    "equals": _same,
    "greater_than": _above,
    "less_than": _below,
    "greater_or_equal": _at_least,
    "less_or_equal": _at_most,
    "in": _one_of,
    "exists": _present,
    "is_empty": _empty,
}
_POSITIVES: Final = {
    "not_equals": ("equals", True),
    "not_in": ("in", True),
    "not_exists": ("exists", True),
    "is_not_empty": ("is_empty", True),
}


def _distance(derived: Derived, raw: object, path: str) -> Fraction:
    """Return a number of days or hours in milliseconds, exactly."""
    number: Any = raw.to_decimal() if isinstance(raw, Decimal128) else raw
    if bracket_of(raw) is Bracket.NUMBER:
        try:
            return Fraction(number) * derived.unit_ms
        except (ValueError, OverflowError):  # NaN, infinity
            pass
    raise WorkflowError(path, f"expected a number, because the field counts time, found {found_at(raw)}")


def _without_date(field: str) -> Filter:
    # Not $type: the range has tight index bounds, so that few documents are read to see that they have no date.
    return {field: {"$not": {"$gte": _FIRST_DATE}}}


def _within(field: str, low: int | None, high: int | None) -> Bounds:
    """Return the bounds of a field that holds a date from ``low`` to ``high``, both included."""
    if (low is not None and low > _LAST_MS) or (high is not None and high < _FIRST_MS):
        return exact(NOTHING)
    ends: Filter = {"$gte": _FIRST_DATE if low is None else DatetimeMS(max(low, _FIRST_MS))}
    if high is None or high >= _LAST_MS:
        return exact({field: ends})
    ends["$lte"] = DatetimeMS(high)
    if low is None or low <= _FIRST_MS:
        return exact({field: {"$lte": ends["$lte"]}})
    # In an array, one element could meet the one end and another the other.
    one_element = {field: {"$elemMatch": ends}}
    names = field.split(".")
    arrays = [{".".join(names[: depth + 1]): {"$not": {"$type": "array"}}} for depth in range(len(names))]
    surely = any_of([one_element, all_of([{field: ends}, *arrays])])
    return exact(surely) if len(names) == 1 else Bounds(surely, {field: ends})
