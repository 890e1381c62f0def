"""A workflow is read from what an admin wrote, or refused with the path of the first thing that is wrong."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.error import WorkflowError
from config.preset import Preset, load_presets
from rules.change import Change, Kind
from rules.condition import Subject
from rules.enrollment import Enrollment, Mode
from rules.trigger import TriggerType
from rules.workflow import OWN_KEYS, Workflow, WorkflowStatus, definition_of, parse_workflow, status_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVERYTHING: dict[str, Any] = {
    "name": "Welcome",
    "description": "Says hello",
    "trigger": {"type": "field_updated", "entity_type": "lead", "field": "stage", "from": "new", "to": "open"},
    "conditions": [
        {"any": [{"field": "stage", "operator": "changed"}, {"field": "score", "operator": "greater_than", "value": 5}]}
    ],
    "enrollment": {"cooldown": "7d"},
    "actions": [
        {"type": "create_task", "title": "Call"},
        {"type": "send_email", "delay": "5m", "on_failure": "stop", "retry": False, "timeout": 60, "template": "hi"},
    ],
}


def action_of(action_type: str, parameters: Mapping[str, Any], path: str) -> object:
    """Stand in for the registry of actions: keep what a step hands on."""
    return action_type, dict(parameters), path


def parsed(document: object) -> Workflow:
    return parse_workflow(
        "w1", 3, document, entity_types=("lead", "deal", "contact"), timezone="UTC", parse_action=action_of
    )


def refusal(document: object) -> WorkflowError:
    with pytest.raises(WorkflowError) as refused:
        parsed(document)
    return refused.value


def changed(**keys: Any) -> dict[str, Any]:
    return {**EVERYTHING, **keys}


def test_every_part_of_a_document_is_read() -> None:
    workflow = parsed(EVERYTHING)
    assert (workflow.id, workflow.version, workflow.name, workflow.description) == ("w1", 3, "Welcome", "Says hello")
    assert workflow.trigger.type is TriggerType.FIELD_UPDATED
    assert workflow.conditions.fields == {"stage", "score"}
    assert workflow.enrollment == Enrollment(Mode.COOLDOWN, cooldown=timedelta(days=7))
    assert [step.action for step in workflow.program.steps] == [
        ("create_task", {"title": "Call"}, "actions[0]"),
        ("send_email", {"template": "hi"}, "actions[1]"),
    ]


def test_a_workflow_as_short_as_can_be_gets_the_defaults() -> None:
    workflow = parsed({"name": "x", "trigger": {"type": "manual"}, "actions": [{"type": "create_task"}]})
    assert workflow.description == ""
    assert workflow.conditions.judge(Subject({}, NOON)) is True
    assert workflow.enrollment.mode is Mode.ALWAYS


@pytest.mark.parametrize("preset", load_presets(), ids=lambda preset: str(preset.document["name"]))
def test_the_presets_are_valid(preset: Preset) -> None:
    assert status_of(preset.document) is WorkflowStatus.ACTIVE
    assert parsed(preset.document).name == preset.document["name"]


def test_the_deal_won_preset_fires_when_a_deal_becomes_won() -> None:
    workflow = parsed(load_presets()[2].document)
    before, after = {"status": "open"}, {"status": "won"}
    won = Change("deal", 1, Kind.UPDATED, frozenset({"status"}), before, after, NOON, "82", (1, 1))
    assert workflow.trigger.matches(won) is True
    assert workflow.conditions.judge(Subject(won.entity, NOON, won)) is True


def test_what_the_daemon_writes_and_the_status_define_nothing() -> None:
    own: dict[str, Any] = {key: {"state": ["anything"]} for key in OWN_KEYS}
    document = {"_id": ObjectId(), **EVERYTHING, **own, "status": "nonsense"}
    assert definition_of(document) == EVERYTHING
    assert parsed(document).name == "Welcome"


@pytest.mark.parametrize("status", list(WorkflowStatus))
def test_a_status_is_read(status: WorkflowStatus) -> None:
    assert status_of({"status": status.value}) is status


def test_a_missing_status_means_active() -> None:
    assert status_of({}) is WorkflowStatus.ACTIVE


@pytest.mark.parametrize("status", [None, 1, True, "", "Active", ["active"], {"$ne": 1}, ObjectId()])
def test_a_wrong_status_is_refused(status: object) -> None:
    with pytest.raises(
        WorkflowError, match=r"^status: expected one of active, paused, draining, stopped; found "
    ) as refused:
        status_of({"status": status})
    assert refused.value.path == "status"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "expected an object, found null"),
        ([EVERYTHING], "expected an object, found the list "),
        ({}, "name: expected a non-empty text, found nothing (and 2 more)"),
        (changed(name=""), "name: expected a non-empty text, found ''"),
        (changed(name="  "), "name: expected a non-empty text, found '  '"),
        (changed(name=7), "name: expected a non-empty text, found 7"),
        (changed(description=None), "description: expected a text, found null"),
        (changed(nmae="x"), "nmae: unknown key (did you mean 'name'?); known here: name, description, trigger"),
        (changed(**{"a.b\0": 1, "$set": 1}), "expected a document that can be stored as BSON: "),
        (changed(**{"$set": {"name": 1}}), "$set: unknown key; known here: "),
        (changed(trigger=[]), "trigger: expected an object, found an empty list"),
        (changed(conditions={}), "conditions: expected a list of conditions, found an empty object"),
        (changed(conditions=None), "conditions: expected a list of conditions, found null"),
        (
            changed(conditions=[{"field": "a", "operator": "equal", "value": 1}]),
            "conditions[0].operator: expected one of ",
        ),
        (changed(enrollment="twice"), "enrollment: expected one of always, once; found 'twice'"),
        (changed(enrollment=None), "enrollment: expected 'always', 'once'"),
        (changed(actions=[]), "actions: expected a list of at least one action, found an empty list"),
        (
            changed(actions={"0": {"type": "create_task"}}),
            "actions: expected a list of at least one action, found the object ",
        ),
        (changed(actions=[{"type": "a"}, "b"]), "actions[1]: expected an object, found 'b'"),
    ],
)
def test_a_wrong_document_is_refused_with_its_path(document: object, message: str) -> None:
    assert str(refusal(document)).startswith(message)


def test_the_first_problem_is_told_and_the_others_are_counted() -> None:
    document = changed(
        conditions=[{"field": "a", "operator": "equal", "value": 1}],
        enrollment=5,
        actions=[{"type": "a", "delay": -1, "timeout": "x"}, {"type": "a", "on_failure": "halt", "retry": 1}],
    )
    error = refusal(document)
    assert error.path == "conditions[0].operator"
    assert error.more == 5
    assert str(error).endswith(" (and 5 more)")


@pytest.mark.parametrize(
    "trigger", [{"type": "manual"}, {"type": "scheduled", "entity_type": "lead", "schedule": "@daily"}]
)
def test_what_changed_cannot_be_asked_where_no_change_starts_the_workflow(trigger: dict[str, Any]) -> None:
    error = refusal(changed(trigger=trigger))
    assert error.path == "conditions[0].any[0].operator"
    assert "changed" in error.problem


def test_exactly_256_kilobytes_are_accepted_and_one_more_is_refused() -> None:
    document = changed(description="")
    document["description"] = "x" * (256 * 1024 - len(bson.encode(document)))
    parsed(document)
    document["description"] += "x"
    assert str(refusal(document)) == "expected at most 262,144 bytes (256 KB) of BSON, found 262,145"


@pytest.mark.parametrize("bulk", ["x" * 5_000_000, list(range(1_000_000)), {str(n): n for n in range(200_000)}])
def test_a_document_of_megabytes_is_refused_naming_the_limit(bulk: object) -> None:
    assert "expected at most 262,144 bytes (256 KB) of BSON" in str(refusal(changed(description=bulk)))


def test_the_daemons_own_keys_do_not_count_towards_the_size() -> None:
    parsed(changed(observed={"error": "x" * 300_000}))


def nested(levels: int, wrap: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if wrap == "object" else [value]
    return value


@pytest.mark.parametrize("wrap", ["object", "list"])
@pytest.mark.parametrize("levels", [21, 150, 5_000])
def test_what_is_too_deep_is_refused_naming_the_limit(levels: int, wrap: str) -> None:
    for key in ("trigger", "conditions", "enrollment", "actions", "name", "description"):
        assert "expected a depth of at most 20, found more" in str(refusal(changed(**{key: nested(levels, wrap)})))


def test_a_parameter_may_be_nested_as_deep_as_the_limit_allows() -> None:
    parsed(changed(actions=[{"type": "update_field", "value": nested(18, "object")}]))


def grouped(levels: int) -> list[Any]:
    conditions: list[Any] = [{"field": "a", "operator": "equals", "value": 1}]
    for _ in range(levels):
        conditions = [{"all": conditions}]
    return conditions


def test_conditions_deeper_than_the_limit_are_refused_naming_it() -> None:
    parsed(changed(conditions=grouped(18)))
    assert "at most 20" in str(refusal(changed(conditions=grouped(20))))


def test_conditions_are_counted_over_groups_and_steps_together() -> None:
    one = {"field": "a", "operator": "equals", "value": 1}
    document = changed(
        conditions=[{"none": [one] * 498}],
        actions=[{"type": "a", "conditions": [one] * 501}],
    )
    parsed(document)
    document["conditions"][0]["none"].append(one)
    assert str(refusal(document)) == "conditions: expected at most 1,000 conditions, found more"


def test_ten_thousand_conditions_are_refused_by_number_or_size() -> None:
    assert "expected at most" in str(
        refusal(changed(conditions=[{"field": "a", "operator": "equals", "value": 1}] * 10_000))
    )
    assert "expected at most 1,000 conditions" in str(refusal(changed(conditions=[[{}]] * 600)))


def test_two_hundred_steps_are_accepted_and_one_more_is_refused() -> None:
    step = {"type": "create_task"}
    assert len(parsed(changed(actions=[step] * 200)).program.nodes) == 200
    expected = "actions[200]: expected at most 200 steps in a workflow, found more"
    assert str(refusal(changed(actions=[step] * 201))) == expected


SCHEDULED = changed(
    trigger={"type": "scheduled", "entity_type": "deal", "schedule": "0 9 * * *", "timezone": "UTC"}, conditions=[]
)
ODD_VALUES: list[Any] = [
    *(None, True, -1, 2**63, 10**30, 1.5, float("nan"), float("inf"), Int64(5), Decimal128("NaN")),
    *("", "\ud800", "a\0b", "x" * 5_000, b"\xff", Code("f()"), Code("f()", {"a": 1}), Regex("(")),
    *([], {}, [[]], [None], {"": 1}, {"$gt": 1}, {"a.b": 1}, {1: 2}, {None: 1}, {"type": {"type": []}}),
    *(ObjectId(), DBRef("a", 1), MinKey(), MaxKey(), Timestamp(1, 1), DatetimeMS(2**62), NOON, object()),
]
PLACES = [
    "name",
    "description",
    "odd",
    "$odd.x",
    "trigger",
    "trigger.type",
    "trigger.entity_type",
    "trigger.field",
    "trigger.fields",
    "trigger.from",
    "trigger.schedule",
    "trigger.timezone",
    "conditions",
    "conditions.0",
    "conditions.0.any",
    "conditions.0.any.1.field",
    "conditions.0.any.1.operator",
    "conditions.0.any.1.value",
    "enrollment",
    "enrollment.cooldown",
    "enrollment.once_per",
    "actions",
    "actions.0",
    "actions.0.type",
    "actions.0.delay",
    "actions.0.conditions",
    "actions.0.on_failure",
    "actions.0.retry",
    "actions.0.timeout",
    "actions.0.title",
]


def put(document: Any, place: str, value: Any) -> Any:
    """Return a copy of the document with a value at a place, made up on the way where there was none."""
    name, _, rest = place.partition(".")
    if isinstance(document, list):
        return [put(item, rest, value) if rest else value for item in document]
    copy = dict(document) if isinstance(document, dict) else {}
    copy[name] = put(copy.get(name), rest, value) if rest else value
    return copy


def outcome(document: object) -> str:
    """Return "" for a valid document, else the error; any other exception than WorkflowError is a failure."""
    try:
        parsed(document)
    except WorkflowError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("base", [EVERYTHING, SCHEDULED], ids=["updated", "scheduled"])
def test_whatever_stands_anywhere_nothing_but_a_workflow_error_is_raised(base: dict[str, Any], place: str) -> None:
    for value in ODD_VALUES:
        message = outcome(put(base, place, value))
        assert len(message) < 600
        assert message.isprintable()


@pytest.mark.parametrize("document", ODD_VALUES)
def test_a_document_that_is_something_else_is_refused(document: object) -> None:
    assert outcome(document)


ODD = st.recursive(
    st.sampled_from(ODD_VALUES) | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "field", "all", "delay", "retry", "$x", "a.b"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), ODD, st.sampled_from(PLACES), ODD)
def test_two_odd_values_at_once_raise_nothing_else_either(place: str, value: Any, other: str, another: Any) -> None:
    assert len(outcome(put(put(EVERYTHING, place, value), other, another))) < 600
