"""Random entities and random conditions on them, as one draw: a scenario.

Both are made of few names and few values, so that conditions often meet what they ask for: a scenario draws a
value for each slot, and slots stand in entities and in conditions alike. Every operator of the table has a
strategy here: a new one without it fails the property test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

from rules.operators import OPERATORS

Strategy = st.SearchStrategy[Any]

NOW: Final = datetime(2026, 3, 1, 9, 0, 0, 123_000, tzinfo=UTC)

NUMBERS: Final = st.sampled_from([
    0, 1, 2, -1, 7, 1.0, -0.0, 0.5, 0.1, 1e300, float("inf"), float("-inf"), Int64(1), Int64(2**53 + 1), 2.0**53,
    2**63 - 1, 2.0**63, Decimal128("1"), Decimal128("0.1"), Decimal128("0.5"), Decimal128("1E+300"), Decimal128("-0"),
    Decimal128("9007199254740993"), Decimal128("Infinity"), Decimal128("1E-6176"),
])  # fmt: skip
NANS: Final = st.sampled_from([float("nan"), Decimal128("NaN"), Decimal128("sNaN")])
TEXTS: Final = st.sampled_from(
    ["", "a", "ab", "b", "A", "a\nb", "a\n", "ab\x00", "é", "日本", "😀", ".", "a.b", "$gt", "(?#)"]
)
DATES: Final = st.sampled_from([
    NOW, NOW - timedelta(milliseconds=1), NOW - timedelta(days=7), NOW - timedelta(days=7, milliseconds=1),
    NOW - timedelta(days=6, hours=23), NOW - timedelta(hours=5), NOW + timedelta(days=3), NOW + timedelta(days=3.1),
    datetime(1, 1, 1, tzinfo=UTC), DatetimeMS(-(2**63)), DatetimeMS(2**63 - 1), DatetimeMS(10**15),
])  # fmt: skip
IDS: Final = st.sampled_from([ObjectId("0" * 24), ObjectId("65e0c0000000000000000001"), ObjectId("f" * 24)])
TIMESTAMPS: Final = st.sampled_from([Timestamp(1, 1), Timestamp(1, 2), Timestamp(2, 0)])
ODD: Final = st.sampled_from([
    b"", b"a", Binary(b"a", 2), Binary(b"a", 128), Binary(b"0123456789abcdef", 4),
    Code("a"), Code("a", {}), Code("a", {"x": 1}), MinKey(), MaxKey(),
])  # fmt: skip
STORED_ONLY: Final = st.sampled_from(
    [Regex("a"), Regex("^a"), Regex("b", "i"), DBRef("a", 1), DBRef("a", 1, "x", b="a", d_at=NOW)]
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that the scenario fills with the value it drew for ``name``."""

    name: str


_ANY: Final = st.one_of(st.sampled_from([None, True, False]), NUMBERS, TEXTS, DATES, IDS, TIMESTAMPS, NANS, ODD)
_SLOTS: Final[Mapping[str, Strategy]] = {"number": NUMBERS, "text": TEXTS, "date": DATES, "id": IDS, "any": _ANY}

_slots = st.sampled_from([Slot(name) for name in _SLOTS])
_names = st.sampled_from(["a", "b", "0", "1", "d_at", "d"])


def _nested(leaves: Strategy) -> Strategy:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=3)),
        max_leaves=6,
    )


_entities = st.dictionaries(_names, _nested(st.one_of(_slots, _slots, _ANY, STORED_ONLY)), max_size=4)
_values = _nested(st.one_of(_slots, _slots, _slots, _ANY))
_ordered = st.one_of(st.sampled_from([Slot("number"), Slot("text"), Slot("date"), Slot("id")]), TIMESTAMPS)
_texts = st.one_of(st.just(Slot("text")), TEXTS)
_presence = st.sampled_from([{}, {"value": True}, {"value": False}])
_patterns = st.sampled_from(["a", "^a", "b$", "(?i)A", "^(a+)+$", ".", r"\d", r"^\pL+$", "(?s)a.b", ""])
_distances = st.sampled_from([0, 1, 7, 3, -1, 6.5, 7.0, Int64(7), Decimal128("7"), Decimal128("0.1"), 1e300, -1e300])


def _valued(values: Strategy) -> Strategy:
    return values.map(lambda value: {"value": value})


def _comparing(values: Strategy, ordered: Strategy) -> dict[str, Strategy]:
    orders = ("greater_than", "less_than", "greater_or_equal", "less_or_equal")
    return {
        **dict.fromkeys(orders, _valued(ordered)),
        **dict.fromkeys(("equals", "not_equals"), _valued(values)),
        **dict.fromkeys(("in", "not_in"), _valued(st.lists(values, max_size=4))),
        **dict.fromkeys(("exists", "not_exists"), _presence),
        **dict.fromkeys(("is_empty", "is_not_empty"), st.just({})),
    }


_PLAIN: Final = {
    **_comparing(_values, _ordered),
    **dict.fromkeys(("contains", "not_contains"), _valued(_values)),
    **dict.fromkeys(("starts_with", "ends_with"), _valued(_texts)),
    "matches": _valued(_patterns),
}
_DERIVED: Final = _comparing(st.one_of(st.none(), _distances), _distances)
_PLAIN_FIELDS: Final = (
    "a", "b", "d_at", "a.b", "a.0", "a.1", "a.00", "a.0.b", "a.b.0", "a.0.0", "a.b.a", "a.b.0.a", "missing",
)  # fmt: skip
_DERIVED_FIELDS: Final = ("d_days_ago", "d_hours_ago", "d_days_from_now", "a.d_days_ago", "a.0.d_days_ago")

OPERATORS_TRIED: Final = frozenset(_PLAIN)
OPERATORS_WITHOUT_FILTER: Final = frozenset(name for name, row in OPERATORS.items() if row.needs_change)


def _on(fields: tuple[str, ...], table: Mapping[str, Strategy]) -> Strategy:
    def with_operator(name: str) -> Strategy:
        field = st.sampled_from(fields)
        return st.builds(lambda field, rest: {"field": field, "operator": name, **rest}, field, table[name])

    return st.sampled_from(sorted(table)).flatmap(with_operator)


def _grouped(inner: Strategy) -> Strategy:
    members = st.lists(inner, min_size=1, max_size=3)
    keys = st.sampled_from(["all", "any", "none"])
    return st.one_of(members, st.builds(lambda key, inside: {key: inside}, keys, members))


_condition = st.one_of(_on(_PLAIN_FIELDS, _PLAIN), _on(_PLAIN_FIELDS[:4], _PLAIN), _on(_DERIVED_FIELDS, _DERIVED))
_conditions = st.lists(st.recursive(_condition, _grouped, max_leaves=5), max_size=2)


@dataclass(frozen=True)
class Scenario:
    """Entities, and lists of conditions to judge them by."""

    entities: list[dict[str, Any]]
    conditions: list[list[Any]]


def _filled(value: Any, slots: Mapping[str, Any]) -> Any:
    if isinstance(value, Slot):
        return slots[value.name]
    if isinstance(value, dict):
        return {name: _filled(item, slots) for name, item in value.items()}
    return [_filled(item, slots) for item in value] if isinstance(value, list) else value


scenarios: Final = st.builds(
    lambda slots, entities, conditions: Scenario(_filled(entities, slots), _filled(conditions, slots)),
    st.fixed_dictionaries(dict(_SLOTS)),
    st.lists(_entities, min_size=1, max_size=6),
    st.lists(_conditions, min_size=1, max_size=6),
)
