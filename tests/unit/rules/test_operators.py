"""Every operator by example: what it is true of, what not, and which values it refuses."""

from datetime import UTC, datetime, timedelta
from itertools import chain
from time import process_time
from typing import Any, Final

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from config.error import WorkflowError
from rules.conditions import Subject, parse_conditions
from rules.operators import OPERATORS
from rules.path import MISSING

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
NOW_MS: Final = 1_772_323_200_000
EARLIER: Final = NOW - timedelta(days=1)
LOW_ID, HIGH_ID = ObjectId("0" * 24), ObjectId("f" * 24)

POSITIVES: Final = {
    "not_equals": "equals",
    "not_contains": "contains",
    "not_in": "in",
    "not_exists": "exists",
    "is_not_empty": "is_empty",
}

# operator, expected (MISSING: no value), what it is true of, what it is false of
EXAMPLES: Final[list[tuple[str, Any, list[Any], list[Any]]]] = [
    ("equals", "a", ["a", ["b", "a"]], ["A", "ab", b"a", Code("a"), Regex("a"), None, MISSING, [["a"]]]),
    ("equals", 1, [1, 1.0, Int64(1), Decimal128("1"), [0, 1]], [True, "1", 2, float("nan"), MISSING]),
    ("equals", 0.1, [0.1], [Decimal128("0.1"), 0]),
    ("equals", True, [True, [True]], [1, 1.0, "true", False]),
    ("equals", None, [None, MISSING, [None]], [0, "", False, [], {}]),
    ("equals", float("nan"), [float("nan"), Decimal128("NaN"), Decimal128("sNaN")], [0, None]),
    ("equals", 2**53 + 1, [Int64(2**53 + 1), Decimal128("9007199254740993")], [2.0**53]),
    ("equals", [1, 2], [[1, 2], [[1, 2], 3], [1.0, Int64(2)]], [[2, 1], [1], 1]),
    ("equals", {"x": 1, "y": 2}, [{"x": 1.0, "y": 2}, [{"x": 1, "y": 2}]], [{"y": 2, "x": 1}, {"x": 1}, {}]),
    ("equals", NOW, [NOW, NOW.replace(tzinfo=None), DatetimeMS(NOW_MS)], [EARLIER, Timestamp(1, 1)]),
    ("equals", b"a", [b"a", Binary(b"a", 0)], [Binary(b"a", 2), "a"]),
    ("equals", LOW_ID, [LOW_ID], [HIGH_ID, "0" * 24]),
    ("equals", MinKey(), [MinKey()], [MaxKey(), None, MISSING]),
    ("contains", "ab", ["ab", "xaby", ["ab"]], ["a b", "AB", ["xaby"], [["ab"]], None, MISSING, 5, Code("ab")]),
    ("contains", "", ["", "a", [""]], [["a"], None, MISSING]),
    ("contains", 1, [[1.0, 2], [Int64(1)]], [1, "1", [True], [[1]], [], MISSING]),
    ("contains", None, [[None]], [None, [], MISSING]),
    ("contains", [1], [[[1]]], [[1], [[[1]]]]),
    ("greater_than", 7, [8, 7.5, Decimal128("7.1"), [1, 9], 10**400], [7, True, "8", None, MISSING, NOW, float("nan")]),
    ("greater_or_equal", 7, [7, 7.0, 8], [6.9, Decimal128("NaN")]),
    ("less_than", 7, [6, float("-inf"), Decimal128("-1E+10")], [7, False, None, MISSING]),
    ("less_or_equal", Decimal128("7"), [7, 7.0, -1], [8]),
    ("greater_than", "b", ["c", "ba", "é", "😀"], ["b", "B", "", 9, None]),
    ("less_than", NOW, [EARLIER, EARLIER.replace(tzinfo=None), DatetimeMS(-(2**63))], [NOW, DatetimeMS(2**63 - 1), 0]),
    ("greater_than", LOW_ID, [HIGH_ID], [LOW_ID, "f" * 24]),
    ("less_than", Timestamp(2, 0), [Timestamp(1, 9)], [Timestamp(2, 0), EARLIER]),
    ("in", ["a", "b"], ["a", "b", ["x", "b"]], ["c", None, MISSING, Code("a")]),
    ("in", [1, None, {"x": [1]}], [1.0, None, MISSING, {"x": [1]}], [True, 2, "1", {"x": 1}]),
    ("in", [], [], [None, MISSING, [], "a"]),
    ("exists", MISSING, [None, 0, [], {}, ""], [MISSING]),
    ("exists", True, [None, 0], [MISSING]),
    ("exists", False, [MISSING], [None, 0]),
    ("is_empty", MISSING, [MISSING, None, "", [], {}], [0, False, " ", [None], [""], {"a": None}, b"", Code("")]),
    ("starts_with", "a.", ["a.b", "a.", ["x", "a."]], ["ab", "A.b", None, MISSING, 5, Code("a.")]),
    ("ends_with", "b", ["ab", "b"], ["b\n", "ba", None, MISSING]),
    ("matches", "^a.c$", ["abc", ["x", "aéc"]], ["xabc", "abc\n", 5, None, MISSING, Regex("^a.c$"), "a" * 40_000]),
    ("matches", "(?i)BERLIN|paris", ["in Berlin", "paris"], ["Rome"]),
]  # fmt: skip


def verdict(operator: str, expected: Any, value: Any) -> bool | None:
    condition = {"field": "f", "operator": operator} | ({} if expected is MISSING else {"value": expected})
    conditions = parse_conditions([condition], with_changes=False)
    return conditions.judge(Subject({} if value is MISSING else {"f": value}, NOW))


@pytest.mark.parametrize(("operator", "expected", "true_of", "false_of"), EXAMPLES)
def test_operator_is_true_and_false_of_its_examples(
    operator: str, expected: Any, true_of: list[Any], false_of: list[Any]
) -> None:
    assert [value for value in true_of if verdict(operator, expected, value) is not True] == []
    assert [value for value in false_of if verdict(operator, expected, value) is not False] == []


@pytest.mark.parametrize(("negative", "positive"), POSITIVES.items())
def test_negative_operator_is_the_complement_of_its_positive(negative: str, positive: str) -> None:
    examples = [
        (expected, value) for name, expected, *values in EXAMPLES if name == positive for value in chain(*values)
    ]
    assert examples
    for expected, value in examples:
        assert verdict(negative, expected, value) is (not verdict(positive, expected, value))


def test_every_operator_that_looks_at_the_entity_has_examples() -> None:
    assert {name for name, *_ in EXAMPLES} | set(POSITIVES) == {
        name for name, row in OPERATORS.items() if not row.needs_change
    }


@pytest.mark.parametrize("operator", [name for name, row in OPERATORS.items() if not row.needs_change])
def test_no_value_whatever_makes_an_operator_raise(operator: str) -> None:
    odd = [
        None, True, 10**500, -(10**500), float("nan"), Decimal128("sNaN"), Decimal128("9E+6144"),
        "\ud800", "\0", "x" * 100_000, b"\xff", Binary(b"\xff", 7), Regex("("), Regex(b"\xff"), Code("x", {"y": 1}),
        DBRef("c", 1), DBRef("c", ObjectId(), "db", f=1), MinKey(), MaxKey(), Timestamp(0, 0), DatetimeMS(-(2**63)),
        NOW.replace(tzinfo=None), datetime.max.replace(tzinfo=UTC), {"": {"": []}}, [[[]]], {1: 2}, object(), 1j,
    ]  # fmt: skip
    expectations = [expected for name, expected, *_ in EXAMPLES if name == POSITIVES.get(operator, operator)]
    assert expectations
    for expected in expectations:
        assert {type(verdict(operator, expected, value)) for value in [*odd, odd, {"f": odd}]} == {bool}


REFUSED: Final[list[tuple[str, Any]]] = [
    ("equals", MISSING),
    ("equals", {"$gt": 1}),
    ("equals", [{"a": {"$ne": 1}}]),
    ("equals", DBRef("leads", 1)),
    ("equals", Regex("a")),
    ("equals", "\ud800"),
    ("equals", 2**64),
    ("equals", {"a\0": 1}),
    ("equals", {1: 1}),
    ("equals", object()),
    ("contains", Regex("a")),
    ("contains", "x" * 4_001),
    ("greater_than", True),
    ("greater_than", None),
    ("greater_than", [1]),
    ("greater_than", {"a": 1}),
    ("greater_than", float("nan")),
    ("less_than", MISSING),
    ("less_or_equal", b"a"),
    ("in", "abc"),
    ("in", MISSING),
    ("in", [Regex("a")]),
    ("in", [{"$gt": 1}]),
    ("exists", "yes"),
    ("exists", None),
    ("is_empty", False),
    ("starts_with", 1),
    ("starts_with", Code("a")),
    ("ends_with", None),
    ("matches", 1),
    ("matches", Regex("a")),
    ("matches", Code("a")),
    ("matches", "a" * 1_001),
    ("matches", "\ud800"),
]


@pytest.mark.parametrize(("operator", "expected"), REFUSED)
def test_value_that_makes_no_sense_is_refused_by_its_path(operator: str, expected: Any) -> None:
    with pytest.raises(WorkflowError, match="expected") as refusal:
        verdict(operator, expected, 1)
    assert refusal.value.path.startswith("conditions[0].value")
    assert len(str(refusal.value)) < 400


def test_deeply_nested_value_is_refused_and_does_not_exhaust_the_stack() -> None:
    value: Any = 1
    for _ in range(50_000):
        value = [value]
    with pytest.raises(WorkflowError, match="20 levels"):
        verdict("equals", value, 1)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?=a)", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "back-references"),
        ("(?P<n>a)(?P=n)", "back-references"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("(", "missing"),
        ("a{1001}", "repetition"),
        (r"((\pL{30}){30}){30}", "repetition|too large"),
    ],
)
def test_pattern_that_re2_cannot_run_is_refused_with_the_reason(pattern: str, problem: str) -> None:
    with pytest.raises(WorkflowError, match=problem):
        verdict("matches", pattern, "a")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(x+x+)+y", "^(a|a)*$", "(.*)(.*)(.*)(.*)x$", "(a?){30}a{30}$"])
def test_hostile_pattern_takes_less_than_a_tenth_of_a_second(pattern: str) -> None:
    conditions = parse_conditions([{"field": "f", "operator": "matches", "value": pattern}])
    started = process_time()
    assert conditions.judge(Subject({"f": "a" * 32_000 + "b"}, NOW)) is False
    assert process_time() - started < 0.1


def test_unknown_operator_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(WorkflowError, match="'equals'") as refusal:
        verdict("equal", 1, 1)
    assert refusal.value.path == "conditions[0].operator"
