"""Random entities and random conditions on them, made so that they often meet.

A scenario is made of few names and of one family of values that are easily taken for each other (1, 1.0, true,
"1"): with values drawn freely, wrong operators went unnoticed. Every operator of the table has its values here;
a new one without them fails a test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from rules.operators import OPERATORS
from rules.value import NAN, ORDERED, bracket_of, comparable

NOW: Final = datetime(2026, 3, 1, 9, 0, 0, 123_000, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)

FAMILIES: Final[Mapping[str, Sequence[Any]]] = {
    "ones": [1, 1.0, Int64(1), Decimal128("1"), Decimal128("1.0"), True, "1", 0, -0.0, Decimal128("-0"), False, 2],
    "large": [2**53 + 1, 2.0**53, Decimal128("9007199254740993"), 2**63 - 1, 2.0**63, 1e300, Decimal128("1E+300")],
    "fractions": [0.1, Decimal128("0.1"), Decimal128("0.1000000000000000055511151231257827"), 0.5, Decimal128("0.5")],
    "limits": [float("inf"), Decimal128("Infinity"), float("-inf"), float("nan"), Decimal128("sNaN")],
    "texts": ["a", "ab", "b", "A", "a\nb", "a\n", "ab\x00", "é", "éb", "日本", "😀", "", Code("a"), Regex("a"), b"a"],
    "signs": [".", "a.b", "a", "$gt", "(?#)", "^a", "\\", "|", "[a]", "\x00", "", "*", Regex("^a"), Regex("a", "i")],
    "nothings": [None, "", [], {}, 0, False, [None], [""], [[]], [{}], {"a": None}, MinKey(), b"", Code("")],
    "dates": [
        NOW, NOW - _MS, NOW - _WEEK, NOW - _WEEK - _MS, NOW - _WEEK + _MS, NOW - 8 * _DAY, NOW - 8 * _DAY + _MS,
        None, 7, NOW - timedelta(hours=7), NOW + _WEEK, NOW + _WEEK - _MS, NOW + 8 * _DAY,
        DatetimeMS(-(2**63)), DatetimeMS(2**63 - 1),
    ],
    "stamps": [Timestamp(1, 1), Timestamp(1, 2), Timestamp(2, 0), datetime(1970, 1, 1, tzinfo=UTC), MaxKey()],
    "ids": [ObjectId("0" * 24), ObjectId("65e0c0000000000000000001"), ObjectId("f" * 24), "f" * 24, DBRef("a", 1)],
    "bytes": [b"a", Binary(b"a", 2), Binary(b"a", 128), b"", b"ab", "a", Code("a", {"x": 1}), Code("a", {"x": 1.0})],
    "documents": [{"a": 1}, {"a": 1.0}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"b": 1}, [1], [1, 2], DBRef("a", 1, a=1)],
}  # fmt: skip
_PATHS: Final = (
    "a", "a", "a", "a", "b", "d_at", "a.a", "a.b", "a.0", "a.1", "a.00", "a.0.a", "a.a.0", "a.0.0", "a.a.a", "gone",
)  # fmt: skip
_DERIVED_PATHS: Final = ("d_days_ago", "d_days_ago", "d_hours_ago", "d_days_from_now", "a.d_days_ago", "a.0.d_days_ago")
_DISTANCES: Final = (7, 7, 7.0, Int64(7), Decimal128("7"), 8, 6.5, 0, -7, Decimal128("0.1"), 1e300, -1e300)
_PATTERNS: Final = ("a", "^a", "b$", "(?i)A", "^(a+)+$", ".", r"\d", r"^\pL+$", "(?s)a.b", "")

Values = Callable[[], Any]


@dataclass(frozen=True)
class Scenario:
    """Entities, and lists of conditions to judge them by."""

    entities: list[dict[str, Any]]
    conditions: list[list[Any]]


def random_scenario(random: Random, entities: int, conditions: int) -> Scenario:
    """Return a scenario of one family that ``random`` chooses."""
    family = random.choice(list(FAMILIES.values()))
    maker = _Maker(random, family)
    return Scenario([maker.entity() for _ in range(entities)], [maker.conditions() for _ in range(conditions)])


class _Maker:
    """Makes entities and conditions of one family of values."""

    def __init__(self, random: Random, family: Sequence[Any]) -> None:
        self._random = random
        self._family = family
        self._plain = plain_operators(random, family)
        self._derived = _comparing(random, lambda: random.choice([*_DISTANCES, None])) | _ordering(
            _choice(random, _DISTANCES)
        )

    def entity(self) -> dict[str, Any]:
        names = self._random.sample(["a", "b", "d_at", "d"], self._random.randint(0, 4))
        return {name: _nested(self._random, self._family, 3, ("a", "b", "0", "d_at", "d")) for name in names}

    def conditions(self) -> list[Any]:
        if self._random.random() < 0.6:
            return [self._condition()]
        return [self._tree(3) for _ in range(self._random.randint(0, 2))]

    def _tree(self, depth: int) -> Any:
        if depth == 0 or self._random.random() < 0.4:
            return self._condition()
        members = [self._tree(depth - 1) for _ in range(self._random.randint(1, 3))]
        key = self._random.choice(["all", "any", "none", None])
        return members if key is None else {key: members}

    def _condition(self) -> dict[str, Any]:
        is_derived = self._family is FAMILIES["dates"] and self._random.random() < 0.5
        operators = self._derived if is_derived else self._plain
        operator = self._random.choice(sorted(operators))
        field = self._random.choice(_DERIVED_PATHS if is_derived else _PATHS)
        return {"field": field, "operator": operator, **operators[operator]()}


def plain_operators(random: Random, family: Sequence[Any]) -> dict[str, Values]:
    """Return what makes the values of the operators that can be used with ``family``."""
    expected = [value for value in family if not isinstance(value, Regex | DBRef)]
    ordered = [
        each for each in expected if bracket_of(each) in ORDERED and comparable(each, bracket_of(each)) is not NAN
    ]
    texts = [each for each in expected if type(each) is str]
    operators = _comparing(random, lambda: _nested(random, expected, 2, ("a", "b")))
    operators["contains"] = operators["not_contains"] = operators["equals"]
    if ordered:
        operators |= _ordering(_choice(random, ordered))
    if texts:
        operators["starts_with"] = operators["ends_with"] = _choice(random, texts)
        operators["matches"] = _choice(random, _PATTERNS)
    return operators


def operators_tried() -> frozenset[str]:
    """Return the names of all operators that a scenario can use."""
    return frozenset(name for family in FAMILIES.values() for name in plain_operators(Random(0), family))


def operators_without_filter() -> frozenset[str]:
    """Return the names of the operators that ask about a change: no filter can."""
    return frozenset(name for name, row in OPERATORS.items() if row.needs_change)


def _nested(random: Random, leaves: Sequence[Any], depth: int, names: Sequence[str]) -> Any:
    kind = random.random()
    if depth == 0 or kind < 0.55:
        return random.choice(leaves)
    if kind < 0.8:
        return [_nested(random, leaves, depth - 1, names) for _ in range(random.randint(0, 3))]
    chosen = random.sample(names, random.randint(0, 2))
    return {name: _nested(random, leaves, depth - 1, names) for name in chosen}


def _choice(random: Random, values: Sequence[Any]) -> Values:
    return lambda: {"value": random.choice(values)}


def _ordering(value: Values) -> dict[str, Values]:
    return dict.fromkeys(("greater_than", "less_than", "greater_or_equal", "less_or_equal"), value)


def _comparing(random: Random, value: Values) -> dict[str, Values]:
    def several() -> Any:
        return {"value": [value() for _ in range(random.randint(0, 3))]}

    def presence() -> Any:
        return random.choice([{}, {"value": True}, {"value": False}])

    return {
        **dict.fromkeys(("equals", "not_equals"), lambda: {"value": value()}),
        **dict.fromkeys(("in", "not_in"), several),
        **dict.fromkeys(("exists", "not_exists"), presence),
        **dict.fromkeys(("is_empty", "is_not_empty"), dict),
    }
