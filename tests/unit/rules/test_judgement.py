"""What follows from a change alone: whether it starts a workflow, and if not, why."""

from typing import Any

import pytest

from rules.cause import Cause
from rules.change import Change
from rules.explain import Reason, Refusal
from rules.judgement import NOT_CONCERNED, judge
from rules.workflow import Workflow, WorkflowStatus
from tests.support.bench import created, updated
from tests.support.change import a_creation, a_workflow, an_update

WON = [{"field": "status", "operator": "equals", "value": "won"}]


def reason_of(workflow: Workflow, change: Change, status: WorkflowStatus = WorkflowStatus.ACTIVE) -> str | None:
    verdict = judge(workflow, status, change, 5)
    assert verdict is None or isinstance(verdict, Refusal)
    return None if verdict is None else verdict.reason


def test_a_change_that_meets_everything_starts_the_workflow() -> None:
    assert judge(a_workflow(created(), conditions=WON), WorkflowStatus.ACTIVE, a_creation({"status": "won"}), 5) is None


def test_conditions_are_asked_before_the_switch() -> None:
    workflow = a_workflow(created(), conditions=WON)
    assert reason_of(workflow, a_creation({"status": "lost"}), WorkflowStatus.PAUSED) == Reason.CONDITION
    assert reason_of(workflow, a_creation({"status": "won"}), WorkflowStatus.PAUSED) == Reason.PAUSED


@pytest.mark.parametrize("status", [WorkflowStatus.PAUSED, WorkflowStatus.DRAINING, WorkflowStatus.STOPPED])
def test_a_workflow_that_is_not_active_is_refused_with_its_status(status: WorkflowStatus) -> None:
    assert reason_of(a_workflow(created()), a_creation({}), status) == str(status)


def test_conditions_on_an_unknown_document_are_unknown() -> None:
    workflow = a_workflow(updated("a"), conditions=WON)
    assert reason_of(workflow, an_update(None, None, {"a"})) == Reason.CONDITION_UNKNOWN


def test_another_field_concerns_nobody() -> None:
    verdict = judge(a_workflow(updated("a")), WorkflowStatus.ACTIVE, an_update({"b": 1}, {"b": 2}, {"b"}), 5)
    assert verdict is NOT_CONCERNED


def test_a_field_that_moved_to_another_value_is_told_so() -> None:
    workflow = a_workflow({**updated("a"), "to": "won"})
    verdict = judge(workflow, WorkflowStatus.ACTIVE, an_update({"a": "new"}, {"a": "open"}, {"a"}), 5)
    assert isinstance(verdict, Refusal)
    assert verdict.reason == Reason.TRANSITION
    assert (verdict.findings[0].expected, verdict.findings[0].actual) == ("won", "open")


def test_where_it_came_from_is_unknown_without_a_before_image() -> None:
    workflow = a_workflow({**updated("a"), "from": "new"})
    assert reason_of(workflow, an_update(None, {"a": "open"}, {"a"})) == Reason.TRIGGER_UNKNOWN


def test_a_workflow_does_not_re_enter_its_own_chain() -> None:
    workflow = a_workflow(created())
    change = a_creation({}, cause=Cause(2, (workflow.id, "other"), "execution"))
    verdict = judge(workflow, WorkflowStatus.ACTIVE, change, 5)
    assert isinstance(verdict, Refusal)
    assert verdict.reason == Reason.REENTRY
    assert verdict.detail == {"depth": 2, "chain": [workflow.id, "other", workflow.id], "caused_by": "execution"}


@pytest.mark.parametrize(("depth", "expected"), [(4, None), (5, Reason.DEPTH)])
def test_a_chain_ends_at_the_depth_cap(depth: int, expected: Any) -> None:
    chain = tuple(f"w{n}" for n in range(depth))
    assert reason_of(a_workflow(created()), a_creation({}, cause=Cause(depth, chain))) == expected
