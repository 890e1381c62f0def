"""The Mongo form of conditions: plain query operators, values as data, and never too little."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from bson.datetime_ms import DatetimeMS

from rules.conditions import parse_conditions
from rules.query import is_exact, to_filter

NOW: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)
NOW_MS: Final = 1_772_355_600_000
FIRST: Final = DatetimeMS(-(2**63))
NOTHING: Final[dict[str, Any]] = {"_id": {"$in": []}}
EQUALS: Final = {"field": "a", "operator": "equals", "value": 1}
MATCHES: Final = {"field": "b", "operator": "matches", "value": "^(a+)+$"}


def filter_of(*raw: Any) -> dict[str, Any]:
    return to_filter(parse_conditions(list(raw), with_changes=False), NOW)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("equals", "$gt", {"a": {"$eq": "$gt"}}),
        ("not_equals", 1, {"a": {"$not": {"$eq": 1}}}),
        ("in", [1, "$x"], {"a": {"$in": [1, "$x"]}}),
        ("not_in", [1], {"a": {"$not": {"$in": [1]}}}),
        ("greater_than", 1, {"a": {"$gt": 1}}),
        ("exists", True, {"a": {"$exists": True}}),
        ("exists", False, {"a": {"$not": {"$exists": True}}}),
        ("starts_with", "a.*\0", {"a": {"$regex": r"^a\.\*\x00(?#reflexd)"}}),
        ("ends_with", "é$", {"a": {"$regex": r"é\$\z(?#reflexd)"}}),
        ("contains", 5, {"a": {"$elemMatch": {"$eq": 5}}}),
    ],
)
def test_condition_becomes_one_plain_query_operator(operator: str, value: Any, expected: dict[str, Any]) -> None:
    assert filter_of({"field": "a", "operator": operator, "value": value}) == expected


def test_no_conditions_find_everything() -> None:
    assert filter_of() == {}


def test_groups_become_and_or_nor() -> None:
    one, other = {"a": {"$eq": 1}}, {"a": {"$gt": 5}}
    raw = [EQUALS, {"field": "a", "operator": "greater_than", "value": 5}]
    assert filter_of(*raw) == {"$and": [one, other]}
    assert filter_of({"any": raw}) == {"$or": [one, other]}
    assert filter_of({"none": raw}) == {"$nor": [one, other]}
    assert filter_of({"none": [{"all": raw}]}) == {"$nor": [{"$and": [one, other]}]}
    assert filter_of({"none": [{"none": raw}]}) == {"$or": [one, other]}
    assert filter_of({"none": [{"none": [EQUALS]}]}) == one


def test_days_ago_become_dates_on_the_base_fields() -> None:
    older = DatetimeMS(NOW_MS - int(timedelta(days=7).total_seconds()) * 1_000 - 1)
    assert filter_of({"field": "seen_days_ago", "operator": "greater_than", "value": 7}) == {
        "$or": [
            {"seen_at": {"$lte": older}},
            {"$and": [{"seen_at": {"$not": {"$gte": FIRST}}}, {"seen": {"$lte": older}}]},
        ]
    }


def test_distance_that_no_date_can_have_finds_nothing() -> None:
    assert filter_of({"field": "seen_days_ago", "operator": "greater_than", "value": 1e300}) == NOTHING
    assert filter_of({"field": "seen_days_ago", "operator": "equals", "value": 7.5}) == NOTHING


def test_pattern_never_reaches_the_server() -> None:
    conditions = parse_conditions([EQUALS, MATCHES])
    assert to_filter(conditions, NOW) == {"$and": [{"a": {"$eq": 1}}, {"b": {"$type": "string"}}]}
    assert not is_exact(conditions)


def test_pattern_under_none_finds_too_much_and_never_too_little() -> None:
    conditions = parse_conditions([{"none": [EQUALS, MATCHES]}])
    assert to_filter(conditions, NOW) == {"a": {"$not": {"$eq": 1}}}
    assert not is_exact(conditions)
    assert to_filter(parse_conditions([{"none": [MATCHES]}]), NOW) == {}
    assert to_filter(parse_conditions([{"none": [{"none": [MATCHES]}]}]), NOW) == {"b": {"$type": "string"}}


@pytest.mark.parametrize(
    ("field", "operator", "value", "exact"),
    [
        ("a", "contains", "x", True),
        ("a.b", "contains", "x", False),
        ("a.b", "contains", 5, True),
        ("a", "matches", "x", False),
        ("a.b", "starts_with", "x", True),
        ("seen_days_ago", "equals", 7, True),
        ("a.seen_days_ago", "equals", 7, False),
        ("a.seen_days_ago", "greater_than", 7, True),
    ],
)
def test_filters_say_whether_they_are_exact(field: str, operator: str, value: Any, exact: bool) -> None:
    assert is_exact(parse_conditions([{"field": field, "operator": operator, "value": value}])) is exact


def test_conditions_on_a_change_have_no_filter() -> None:
    with pytest.raises(ValueError, match=r"conditions\[0\]: changed asks what changed"):
        to_filter(parse_conditions([{"field": "a", "operator": "changed"}]), NOW)


def test_filter_may_be_changed_by_its_user() -> None:
    conditions = parse_conditions([EQUALS])
    to_filter(conditions, NOW)["_id"] = 5
    assert to_filter(conditions, NOW) == {"a": {"$eq": 1}}
