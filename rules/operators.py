"""The table of operators: each row says which value it expects, how Python judges a value, how MongoDB finds it.

The two forms mean the same; a property test holds them to each other on a real server. A positive operator is
false on a missing value and on a value of another type; every ``not_…`` is the exact complement of its positive.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import repeat
from typing import Any, Final

from rules.bounds import NOTHING, Bounds, Filter, all_of, any_of, exact
from rules.budget import Budget
from rules.expected import (
    parse_any,
    parse_list,
    parse_nothing,
    parse_ordered,
    parse_part,
    parse_presence,
    parse_text,
)
from rules.path import MISSING
from rules.pattern import matching, parse_pattern
from rules.value import ORDERS, Test, equal_to, equal_to_any, ordered_to


class Look(Enum):
    """The part of an entity or change that an operator looks at."""

    VALUES = auto()  # the values at the path, and the elements of arrays there
    LEAVES = auto()  # the values at the path, arrays as a whole; MISSING where there is nothing
    CHANGED = auto()  # whether there was a change of them
    BEFORE = auto()  # the values that a change of them removed
    AFTER = auto()  # the values that a change of them brought


@dataclass(frozen=True, slots=True)
class Operator:
    """One row of the table.

    ``parse(raw, path)`` checks the ``value`` of a condition (MISSING if it has none) and returns what is expected.
    ``test(expected)`` is the Python form for one value; the condition is met if one value passes. ``bounds(field,
    expected)`` is the Mongo form, None where only a change can tell.
    """

    name: str
    parse: Callable[[object, str], Any]
    test: Callable[[Any], Test]
    bounds: Callable[[str, Any], Bounds] | None
    look: Look = Look.VALUES
    is_negated: bool = False

    @property
    def needs_change(self) -> bool:
        """Whether the operator asks about a change, not about the entity alone."""
        return self.look in (Look.CHANGED, Look.BEFORE, Look.AFTER)

    @property
    def takes_pattern(self) -> bool:
        """Whether the expected value is a pattern, which has still to be checked."""
        return self.parse is parse_pattern

    @property
    def takes_nothing(self) -> bool:
        """Whether nothing is expected: the operator says it all."""
        return self.parse is parse_nothing

    def negates(self, expected: Any) -> bool:
        """Return whether the condition is met where the test fails: ``not_…``, or presence expected to be false."""
        return self.is_negated is not (self.parse is parse_presence and expected is False)


# Ends every pattern of ours. To MongoDB, a stored regular expression matches a pattern that is spelled the same: with
# this ending, none is.
_SIGNATURE: Final = "(?#reflexd)"
_FIND_SHIFT: Final = 8
_SPECIAL: Final = re.compile(r"[^0-9A-Za-z\u0080-\U0010ffff]")


def _holds_part(expected: Any) -> Test:
    is_member = equal_to(expected)
    is_text = type(expected) is str

    def test(value: Any, budget: Budget) -> bool:
        if isinstance(value, list):
            budget.spend(len(value))
            return any(map(is_member, value, repeat(budget)))
        if not is_text or type(value) is not str:
            return False
        budget.spend(_steps_to_find(len(expected), len(value)))
        return expected in value

    return test


def _steps_to_find(part: int, text: int) -> int:
    """Return the steps that finding a part of a text takes at the worst, both lengths in characters.

    CPython looks for short parts of texts that are not long in a simple way, in others in linear time.
    """
    is_simple = text < 30_000 and part < 100
    return text * (part + 4 if is_simple else 16) >> _FIND_SHIFT


def _is_empty(value: Any, _: Budget) -> bool:
    if type(value) is str or isinstance(value, Mapping | list):
        return len(value) == 0
    return value is None or value is MISSING


def _is_text(check: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    return lambda expected: lambda value, _: type(value) is str and check(value, expected)


def _bounds_of(operator: str) -> Callable[[str, Any], Bounds]:
    return lambda field, expected: exact({field: {operator: expected}})


def _bounds_of_pattern(before: str, after: str) -> Callable[[str, Any], Bounds]:
    return lambda field, expected: exact({field: {"$regex": f"{before}{_escaped(expected)}{after}{_SIGNATURE}"}})


def _bounds_of_part(field: str, expected: Any) -> Bounds:
    """Membership in arrays, substring of strings.

    A pattern also looks into arrays. A field that is not one is told apart exactly; where arrays may be on the
    way there, the elements of several leaves cannot be told from the leaves.
    """
    member = {field: {"$elemMatch": {"$eq": expected}}}
    if type(expected) is not str:
        return exact(member)
    part = {field: {"$regex": _escaped(expected) + _SIGNATURE}}
    surely = any_of([member, all_of([part, {field: {"$not": {"$type": "array"}}}])])
    return exact(surely) if "." not in field else Bounds(surely, any_of([member, part]))


def _bounds_of_empty(field: str, _: Any) -> Bounds:
    """Empty values, but not arrays that hold one: those have an element 0."""
    empty: Filter = {field: {"$in": [None, "", [], {}]}}
    surely = all_of([empty, {f"{field}.0": {"$exists": False}}])
    if "." not in field:
        return exact(surely)
    absent: Filter = {field: {"$exists": False}}
    return Bounds(any_of([absent, surely]), any_of([absent, empty]))


def _bounds_of_match(field: str, _: Any) -> Bounds:
    """Find all texts: a user's pattern could stall the server, so the daemon judges the texts."""
    return Bounds(NOTHING, {field: {"$type": "string"}})


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: r"\x00" if found[0] == "\0" else "\\" + found[0], text)


def _ordered(name: str, query: str) -> Operator:
    return Operator(name, parse_ordered, lambda expected: ordered_to(expected, ORDERS[query]), _bounds_of(query))


def _not(positive: Operator, name: str) -> Operator:
    return replace(positive, name=name, is_negated=True)


_EQUALS = Operator("equals", parse_any, equal_to, _bounds_of("$eq"))
_CONTAINS = Operator("contains", parse_part, _holds_part, _bounds_of_part, Look.LEAVES)
_IN = Operator("in", parse_list, equal_to_any, _bounds_of("$in"))
_EXISTS = Operator(
    "exists",
    parse_presence,
    lambda _: lambda value, _: value is not MISSING,
    lambda field, _: exact({field: {"$exists": True}}),
    Look.LEAVES,
)
_IS_EMPTY = Operator("is_empty", parse_nothing, lambda _: _is_empty, _bounds_of_empty, Look.LEAVES)

OPERATORS: Final[Mapping[str, Operator]] = {
    row.name: row
    for row in (
        _EQUALS,
        _not(_EQUALS, "not_equals"),
        _CONTAINS,
        _not(_CONTAINS, "not_contains"),
        _ordered("greater_than", "$gt"),
        _ordered("less_than", "$lt"),
        _ordered("greater_or_equal", "$gte"),
        _ordered("less_or_equal", "$lte"),
        _IN,
        _not(_IN, "not_in"),
        _EXISTS,
        _not(_EXISTS, "not_exists"),
        _IS_EMPTY,
        _not(_IS_EMPTY, "is_not_empty"),
        Operator("starts_with", parse_text, _is_text(str.startswith), _bounds_of_pattern("^", "")),
        Operator("ends_with", parse_text, _is_text(str.endswith), _bounds_of_pattern("", r"\z")),
        Operator("matches", parse_pattern, matching, _bounds_of_match),
        Operator("changed", parse_nothing, lambda _: lambda value, _: True, None, Look.CHANGED),
        Operator("changed_from", parse_any, equal_to, None, Look.BEFORE),
        Operator("changed_to", parse_any, equal_to, None, Look.AFTER),
    )
}
