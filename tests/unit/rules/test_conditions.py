"""Conditions are read strictly, judged by Kleene's logic, and explain what kept them from being met."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from config.error import WorkflowError
from rules.change import Change, JudgedOn, Kind
from rules.conditions import Finding, Subject, parse_conditions
from rules.path import MISSING

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
YES: Final = {"field": "yes", "operator": "equals", "value": 1}
NO: Final = {"field": "no", "operator": "equals", "value": 1}
UNKNOWN: Final = {"field": "yes", "operator": "changed"}
ENTITY: Final = {"yes": 1, "no": 2}
VERDICTS: Final = {"YES": (YES, True), "NO": (NO, False), "UNKNOWN": (UNKNOWN, None)}


def judge(raw: list[Any], entity: Mapping[str, Any] | None = ENTITY, change: Change | None = None) -> bool | None:
    return parse_conditions(raw).judge(Subject(entity, NOW, change))


def explain(raw: list[Any], entity: Mapping[str, Any] | None = ENTITY) -> list[str]:
    return [finding.path for finding in parse_conditions(raw).explain(Subject(entity, NOW))]


def refused(raw: object, *, with_changes: bool = True) -> WorkflowError:
    with pytest.raises(WorkflowError) as refusal:
        parse_conditions(raw, with_changes=with_changes)
    return refusal.value


def update(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    touched: set[str] | None = None,
    kind: Kind = Kind.UPDATED,
) -> Change:
    named = None if touched is None else frozenset(touched)
    return Change("deal", 1, kind, named, before, after, NOW, "82", (1, 1), judged_on=JudgedOn.EVENT)


def test_no_conditions_are_met_even_by_an_unknown_entity() -> None:
    assert judge([], None) is True


@pytest.mark.parametrize(
    ("key", "members", "verdict"),
    [
        ("all", "YES YES", True),
        ("all", "YES NO", False),
        ("all", "YES UNKNOWN", None),
        ("all", "UNKNOWN NO", False),
        ("any", "NO YES", True),
        ("any", "NO NO", False),
        ("any", "NO UNKNOWN", None),
        ("any", "UNKNOWN YES", True),
        ("none", "NO NO", True),
        ("none", "NO YES", False),
        ("none", "NO UNKNOWN", None),
        ("none", "UNKNOWN YES", False),
    ],
)
def test_group_combines_by_kleenes_logic(key: str, members: str, verdict: bool | None) -> None:
    assert judge([{key: [VERDICTS[name][0] for name in members.split()]}]) is verdict


@pytest.mark.parametrize(("raw", "verdict"), VERDICTS.values())
def test_group_of_one_is_its_member_and_none_its_opposite(raw: Any, verdict: bool | None) -> None:
    assert judge([{"all": [raw]}]) is judge([{"any": [raw]}]) is judge([raw]) is verdict
    assert judge([{"none": [raw]}]) is (None if verdict is None else not verdict)


def test_list_among_conditions_means_all_of_them() -> None:
    assert judge([{"any": [[YES, NO], NO]}]) is False
    assert judge([{"any": [[YES, YES], NO]}]) is True


def test_unknown_entity_makes_every_condition_unknown() -> None:
    assert judge([{**YES, "operator": "not_equals"}], None) is None
    assert judge([{"field": "d_days_ago", "operator": "not_exists"}], None) is None
    assert judge([{"field": "a.b", "operator": "is_empty"}], None) is None


def test_name_below_an_array_without_documents_is_missing() -> None:
    entity = {"a": [1, 2]}
    assert judge([{"field": "a.b", "operator": "exists"}], entity) is False
    assert judge([{"field": "a.b", "operator": "is_empty"}], entity) is True
    assert judge([{"field": "a.b", "operator": "contains", "value": ""}], entity) is False


def test_condition_on_a_path_through_an_array_is_met_by_any_document_there() -> None:
    entity = {"a": [{"b": 1}, {"b": [2, 3]}]}
    assert [judge([{"field": "a.b", "operator": "equals", "value": value}], entity) for value in (1, 3, [2, 3], 4)] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("operator", "value", "change", "verdict"),
    [
        ("changed", MISSING, update({"s": 1}, {"s": 2}), True),
        ("changed", MISSING, update({"s": 2}, {"s": 2.0}), False),
        ("changed", MISSING, update(None, {"s": 2}, {"s"}), True),
        ("changed", MISSING, update(None, {"s": 2}), None),
        ("changed", MISSING, update(None, {"s": 2}, kind=Kind.CREATED), False),
        ("changed_from", 1, update({"s": 1}, {"s": 2}), True),
        ("changed_from", 3, update({"s": 1}, {"s": 2}), False),
        ("changed_from", None, update({}, {"s": 2}), True),
        ("changed_from", 1, update(None, {"s": 2}, {"s"}), None),
        ("changed_from", 1, update(None, {"s": 2}, {"other"}), False),
        ("changed_to", 2, update({"s": 1}, {"s": 2}), True),
        ("changed_to", 3, update({"s": 1}, {"s": 2}), False),
        ("changed_to", 2, update({"s": 2}, {"s": 2}), False),
        ("changed_to", 2, update(None, {"s": 2}, {"s"}), True),
        ("changed_to", 2, update(None, {"s": 2}), None),
        ("changed_to", 2, None, None),
    ],
)
def test_change_operators_tell_what_changed_or_that_nobody_knows(
    operator: str, value: Any, change: Change | None, verdict: bool | None
) -> None:
    raw = {"field": "s", "operator": operator} | ({} if value is MISSING else {"value": value})
    assert judge([raw], {"s": 2}, change) is verdict


def test_change_operators_are_refused_where_nothing_changes() -> None:
    error = refused([YES, {"any": [UNKNOWN]}], with_changes=False)
    assert error.path == "conditions[1].any[0].operator"
    assert "changed asks what changed" in error.problem


def test_fields_name_what_is_read_and_for_derived_fields_their_dates() -> None:
    raw = [YES, {"any": [{"field": "a.seen_days_ago", "operator": "exists"}, {"none": [NO]}]}]
    assert parse_conditions(raw).fields == {"yes", "no", "a.seen_at", "a.seen"}


def test_conditions_say_whether_they_use_the_change() -> None:
    assert parse_conditions([{"any": [YES, UNKNOWN]}]).uses_change
    assert not parse_conditions([YES]).uses_change


def test_explanation_of_met_conditions_is_empty() -> None:
    assert explain([YES, {"any": [NO, YES]}, {"none": [NO]}]) == []


def test_explanation_names_the_failing_conditions_in_document_order() -> None:
    raw = [NO, YES, {"any": [NO, {"all": [YES, UNKNOWN, NO]}]}, {"any": [YES, NO]}]
    assert explain(raw) == [
        "conditions[0]",
        "conditions[2].any[0]",
        "conditions[2].any[1].all[1]",
        "conditions[2].any[1].all[2]",
    ]


def test_explanation_blames_what_is_true_under_none() -> None:
    assert explain([{"none": [NO, YES]}]) == ["conditions[0].none[1]"]
    assert explain([{"none": [{"all": [YES, NO]}, {"none": [NO, NO]}]}]) == [
        "conditions[0].none[1].none[0]",
        "conditions[0].none[1].none[1]",
    ]
    assert explain([{"none": [{"all": [YES, YES]}]}]) == [
        "conditions[0].none[0].all[0]",
        "conditions[0].none[0].all[1]",
    ]


def test_finding_shows_expected_and_actual() -> None:
    conditions = parse_conditions([NO, {**YES, "field": "gone.deep"}, UNKNOWN], "actions[0].conditions")
    assert conditions.explain(Subject(ENTITY, NOW)) == (
        Finding("actions[0].conditions[0]", "no", "equals", 1, 2, False),
        Finding("actions[0].conditions[1]", "gone.deep", "equals", 1, MISSING, False),
        Finding("actions[0].conditions[2]", "yes", "changed", None, 1, None),
    )


def test_finding_of_changed_from_shows_the_value_before() -> None:
    conditions = parse_conditions([{"field": "s", "operator": "changed_from", "value": 5}])
    (finding,) = conditions.explain(Subject({"s": 2}, NOW, update({"s": 1}, {"s": 2})))
    assert finding.actual == 1


@pytest.mark.parametrize(
    ("raw", "path", "problem"),
    [
        (None, "conditions", "expected a list of conditions, found null"),
        ({"any": [YES]}, "conditions", "expected a list of conditions"),
        (["x"], "conditions[0]", "expected a condition or a group"),
        ([{}], "conditions[0].field", "expected the field of a condition, found nothing"),
        ([{"field": "a"}], "conditions[0].operator", "expected the operator of a condition, found nothing"),
        ([{**YES, "fieldd": 1}], "conditions[0].fieldd", "did you mean 'field'"),
        ([{**YES, "any": [NO]}], "conditions[0].field", "found both any and field"),
        ([{"any": [NO], "none": [NO]}], "conditions[0].none", "found both any and none"),
        ([{5: 1}], "conditions[0].5", "unknown key"),
        ([{"any": []}], "conditions[0].any", "at least one condition, found an empty list"),
        ([{"all": YES}], "conditions[0].all", "expected a list of at least one condition"),
        ([[]], "conditions[0]", "at least one condition"),
        ([{**YES, "operator": ["equals"]}], "conditions[0].operator", "expected one of"),
        ([{**YES, "field": ""}], "conditions[0].field", "dotted path"),
        ([{**YES, "field": "$where"}], "conditions[0].field", "'$'"),
        ([{**YES, "field": "a.$b"}], "conditions[0].field", "'$'"),
        ([{**YES, "field": "a..b"}], "conditions[0].field", "empty names"),
        ([{**YES, "field": "a\0"}], "conditions[0].field", "NUL"),
        ([{**YES, "field": 5}], "conditions[0].field", "dotted path"),
        ([{**YES, "field": ".".join("a" * 150)}], "conditions[0].field", "at most 100 names"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_path(raw: object, path: str, problem: str) -> None:
    error = refused(raw)
    assert error.path == path
    assert problem in error.problem


def test_more_than_a_thousand_conditions_are_refused_naming_the_limit() -> None:
    assert parse_conditions([{"any": [YES] * 499}, {"none": [NO] * 499}]).judge(Subject(ENTITY, NOW)) is True
    error = refused([{"any": [YES] * 500}, {"none": [NO] * 500}])
    assert error.path == "conditions"
    assert "1000" in error.problem


@pytest.mark.parametrize("levels", [20, 150, 100_000])
def test_deeper_than_twenty_levels_is_refused_naming_the_limit(levels: int) -> None:
    raw: list[Any] = [YES]
    for _ in range(levels):
        raw = [{"all": raw}]
    assert "20 levels" in refused(raw).problem


def test_twenty_levels_are_judged() -> None:
    raw: list[Any] = [YES]
    for _ in range(19):
        raw = [{"none": raw}]
    assert judge(raw) is False
