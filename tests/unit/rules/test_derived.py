"""Derived fields count days and hours from now, exactly, and are missing where there is no date."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from bson import Decimal128
from bson.datetime_ms import DatetimeMS

from config.error import WorkflowError
from rules.conditions import Subject, parse_conditions
from rules.derived import derived_from
from rules.path import MISSING

NOW: Final = datetime(2026, 3, 1, 9, 0, 0, 500_000, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)
WEEK: Final = timedelta(days=7)


def ago(age: timedelta, operator: str, value: Any, field: str = "seen_days_ago") -> bool | None:
    return judge({"seen_at": NOW - age}, operator, value, field)


def judge(entity: dict[str, Any], operator: str, value: Any = MISSING, field: str = "seen_days_ago") -> bool | None:
    raw = {"field": field, "operator": operator} | ({} if value is MISSING else {"value": value})
    return parse_conditions([raw], with_changes=False).judge(Subject(entity, NOW))


@pytest.mark.parametrize("field", ["seen", "_days_ago", "days_ago", "a._days_ago", "seen_days_ago.b", "a_days_agoo"])
def test_other_names_are_plain_fields(field: str) -> None:
    assert derived_from(field) is None


@pytest.mark.parametrize(
    ("field", "bases"),
    [
        ("seen_days_ago", ("seen_at", "seen")),
        ("seen_hours_ago", ("seen_at", "seen")),
        ("due_days_from_now", ("due_at", "due")),
        ("owner.seen_days_ago", ("owner.seen_at", "owner.seen")),
    ],
)
def test_derived_field_reads_its_date_fields(field: str, bases: tuple[str, str]) -> None:
    derived = derived_from(field)
    assert derived is not None
    assert derived.bases == bases


@pytest.mark.parametrize(
    ("age", "operator", "value", "verdict"),
    [
        (WEEK, "greater_than", 7, False),
        (WEEK + MS, "greater_than", 7, True),
        (WEEK, "greater_or_equal", 7, True),
        (WEEK - MS, "greater_or_equal", 7, False),
        (WEEK - MS, "less_than", 7, True),
        (WEEK, "less_than", 7, False),
        (WEEK, "less_or_equal", 7, True),
        (WEEK + MS, "less_or_equal", 7, False),
        (WEEK, "equals", 7, True),
        (WEEK + timedelta(days=1) - MS, "equals", 7, True),
        (WEEK + timedelta(days=1), "equals", 7, False),
        (WEEK - MS, "equals", 7, False),
        (WEEK, "equals", Decimal128("7.0"), True),
        (WEEK, "equals", 7.5, False),
        (WEEK, "not_equals", 7, False),
        (timedelta(days=-1), "equals", -1, True),
        (MS, "equals", 0, True),
        (-MS, "equals", -1, True),
        (WEEK, "in", [1, 7], True),
        (WEEK, "not_in", [1, 7], False),
        (timedelta(hours=12), "greater_than", 0.49, True),
        (timedelta(hours=12), "greater_than", 0.5, False),
        (WEEK, "less_than", 1e300, True),
        (WEEK, "greater_than", -(10**400), True),
    ],
)
def test_days_ago_are_compared_to_the_millisecond(age: timedelta, operator: str, value: Any, verdict: bool) -> None:
    assert ago(age, operator, value) is verdict


def test_hours_ago_and_days_from_now_count_in_their_unit_and_direction() -> None:
    assert ago(timedelta(hours=5), "equals", 5, "seen_hours_ago") is True
    assert ago(timedelta(days=-3, hours=-1), "equals", 3, "seen_days_from_now") is True
    assert ago(timedelta(days=-3, hours=-1), "greater_than", 3, "seen_days_from_now") is True
    assert ago(WEEK, "less_than", 0, "seen_days_from_now") is True


@pytest.mark.parametrize("entity", [{}, {"seen_at": None}, {"seen_at": "2026-01-01"}, {"seen": 5}, {"seen_at": []}])
def test_without_a_date_the_field_is_missing(entity: dict[str, Any]) -> None:
    assert judge(entity, "greater_than", -1e9) is False
    assert judge(entity, "less_than", 1e9) is False
    assert judge(entity, "not_equals", 7) is True
    assert judge(entity, "exists") is False
    assert judge(entity, "exists", False) is True
    assert judge(entity, "not_exists") is True
    assert judge(entity, "is_empty") is True
    assert judge(entity, "is_not_empty") is False
    assert judge(entity, "equals", None) is True
    assert judge(entity, "in", [3, None]) is True


def test_field_without_at_is_read_where_the_one_with_it_holds_no_date() -> None:
    assert judge({"seen_at": "never", "seen": NOW - WEEK}, "equals", 7) is True
    assert judge({"seen_at": NOW, "seen": NOW - WEEK}, "equals", 7) is False


def test_any_date_of_an_array_or_of_its_documents_can_meet_the_condition() -> None:
    dates = [NOW - timedelta(days=1), "x", NOW - WEEK]
    assert judge({"seen_at": dates}, "equals", 7) is True
    assert judge({"seen_at": dates}, "equals", 3) is False
    assert judge({"visits": [{"seen_at": date} for date in dates]}, "equals", 7, "visits.seen_days_ago") is True


@pytest.mark.parametrize("date", [DatetimeMS(-(2**63)), DatetimeMS(2**63 - 1)])
def test_dates_outside_of_pythons_years_are_counted(date: DatetimeMS) -> None:
    assert judge({"seen_at": date}, "greater_than", 0) is (int(date) < 0)


def test_stored_field_of_the_same_name_does_not_count() -> None:
    assert judge({"seen_days_ago": 9}, "greater_than", 7) is False


def test_finding_shows_the_number_of_days_with_fractions() -> None:
    conditions = parse_conditions([{"field": "seen_days_ago", "operator": "greater_than", "value": 7}])
    (finding,) = conditions.explain(Subject({"seen_at": NOW - timedelta(days=1, hours=12)}, NOW))
    assert (finding.field, finding.expected, finding.actual) == ("seen_days_ago", 7, 1.5)
    (finding,) = conditions.explain(Subject({}, NOW))
    assert finding.actual is MISSING


@pytest.mark.parametrize(
    ("operator", "value", "path"),
    [
        ("greater_than", "7", "conditions[0].value"),
        ("greater_than", True, "conditions[0].value"),
        ("greater_than", None, "conditions[0].value"),
        ("greater_than", MISSING, "conditions[0].value"),
        ("equals", float("nan"), "conditions[0].value"),
        ("equals", float("inf"), "conditions[0].value"),
        ("equals", Decimal128("sNaN"), "conditions[0].value"),
        ("equals", NOW, "conditions[0].value"),
        ("in", 7, "conditions[0].value"),
        ("in", [7, "x"], "conditions[0].value[1]"),
        ("is_empty", 1, "conditions[0].value"),
        ("contains", 7, "conditions[0].operator"),
        ("matches", "7", "conditions[0].operator"),
    ],
)
def test_what_makes_no_sense_on_counted_time_is_refused(operator: str, value: Any, path: str) -> None:
    with pytest.raises(WorkflowError) as refusal:
        judge({}, operator, value)
    assert refusal.value.path == path


def test_change_operators_are_refused_on_derived_fields() -> None:
    with pytest.raises(WorkflowError, match="does not work on a derived field"):
        parse_conditions([{"field": "seen_days_ago", "operator": "changed"}])
