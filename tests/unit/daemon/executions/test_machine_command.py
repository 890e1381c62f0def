"""What comes next for an execution that a person acts on, by command or by editing its document."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actions.outcome import Done, Fail
from daemon.executions.command import CommandRefused
from daemon.executions.job import job_from
from daemon.executions.machine import advance
from daemon.executions.move import Move
from daemon.executions.occurrence import Asked, CancelAsked, CancelledByHand, EditRefused, Judged, Resolved, RetryAsked
from daemon.executions.standing import Standing, standing_of
from daemon.executions.status import Status, StepStatus
from daemon.executions.unit import unit_of
from daemon.executions.update import command_update
from rules.program import Program, outline
from tests.support.jobs import TASK, execution_of, workflow_of

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
SLOW = {"type": "a", "delay": "1h"}


def record(node: str, status: str, **more: Any) -> dict[str, Any]:
    return {"node": node, "action_type": "a", "status": status, "executed_at": NOW, **more}


def execution(*steps: str, **changes: Any) -> dict[str, Any]:
    """Return a failed execution whose steps ended as told, as the version before wrote it."""
    records = [{"action_type": "a", "status": status, "executed_at": NOW} for status in steps]
    return execution_of(
        status="failed", step=len(steps), actions_executed=records, counted_as="failed", due_at=None, **changes
    )


def standing(document: dict[str, Any]) -> Standing:
    return standing_of(document, LATER, with_history=True)


def ask(document: dict[str, Any], request: Asked, program: Program) -> tuple[Move, dict[str, Any]]:
    """Return the move that is asked for, and the update that carries it out."""
    move = advance(program, standing(document), request, LATER)
    return move, command_update(program, standing(document), move, LATER)


def linear(steps: int) -> Program:
    return outline([SLOW] * steps)


def retry(document: dict[str, Any], program: Program) -> tuple[Move, dict[str, Any]]:
    return ask(document, RetryAsked(document["status"], document["actions_executed"], NOW), program)


def resolve(document: dict[str, Any], outcome: StepStatus, node: str | None = None, steps: int = 1) -> Move:
    return ask(document, Resolved(outcome, node, document["actions_executed"]), linear(steps))[0]


def test_a_retry_begins_at_the_first_failed_step_and_tells_the_version_before_where_it_goes_on() -> None:
    move, update = retry(execution("failed", "success", "failed", failed_steps=2), linear(4))
    assert (move.status, move.node, move.attempt, move.due_at) == (Status.PENDING, "0", 0, NOW)
    assert (update["$set"]["step"], update["$set"]["redo"], update["$set"]["failed_steps"]) == (0, [2, 3], 0)


def test_a_retry_keeps_what_it_repeats() -> None:
    move, update = retry(execution("success", "failed"), linear(2))
    (kept,) = update["$push"]["retried"]["$each"]
    assert (kept["step"], kept["retried_at"]) == (1, LATER)
    assert move.counted_as is None
    assert "counted_as" in update["$unset"]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (execution("success") | {"status": "completed"}, "expected a failed or cancelled execution"),
        (execution() | {"status": "waiting"}, "expected a failed or cancelled execution"),
        (execution("success"), "no step has failed"),
        (execution("failed", "uncertain"), "step 1 is uncertain"),
        (execution("success", "success", "success") | {"status": "cancelled"}, "after its last step"),
        (execution("uncertain") | {"status": "cancelled"}, "uncertain: resolve it first"),
    ],
)
def test_a_retry_that_would_repeat_nothing_or_blindly_is_refused(document: dict[str, Any], why: str) -> None:
    with pytest.raises(CommandRefused, match=why):
        retry(document, linear(3))


def test_a_cancelled_execution_goes_on_where_it_stood() -> None:
    move, _ = retry(execution("success", attempt=2) | {"status": "cancelled"}, linear(3))
    assert (move.node, move.attempt, move.repeated) == ("1", 2, ())


def test_what_an_action_is_at_work_on_is_not_cancelled() -> None:
    with pytest.raises(CommandRefused, match="running"):
        ask(execution() | {"status": "running"}, CancelAsked(), linear(1))


@pytest.mark.parametrize("status", ["pending", "waiting", "held"])
def test_what_waits_is_cancelled_and_leaves_the_queue(status: str) -> None:
    move, update = ask(execution() | {"status": status}, CancelAsked(), linear(1))
    assert (move.counted_as, update["$set"]["completed_at"]) == (Status.CANCELLED, LATER)
    assert {"due_at", "held_due_at", "held_status"} <= set(update["$unset"])


def test_what_was_at_work_when_it_was_cancelled_by_hand_becomes_uncertain() -> None:
    document = execution("success", attempt=1) | {"status": "cancelled"}
    move, _ = ask(document, CancelledByHand(is_queued=False), linear(3))
    assert move.records[0].document["status"] == "uncertain"
    assert (move.node, move.failed_steps) == ("2", 1)


def test_what_waited_when_it_was_cancelled_by_hand_is_just_ended() -> None:
    document = execution("success", attempt=1) | {"status": "cancelled"}
    move, _ = ask(document, CancelledByHand(is_queued=True), linear(3))
    assert (move.node, move.records) == ("1", ())


def test_resolving_the_last_failure_completes_the_execution() -> None:
    move = resolve(execution("uncertain"), StepStatus.SUCCESS)
    assert (move.status, move.counted_as, move.ended_at) == (Status.COMPLETED, Status.COMPLETED, None)


def test_resolving_one_of_two_failures_leaves_it_failed() -> None:
    move = resolve(execution("uncertain", "failed"), StepStatus.SUCCESS, steps=2)
    assert (move.status, move.failed_steps) == (Status.FAILED, 1)


def test_resolving_as_failed_leaves_it_failed_and_counted() -> None:
    move = resolve(execution("uncertain"), StepStatus.FAILED)
    assert (move.status, move.counted_as, move.failed_steps) == (Status.FAILED, "failed", 1)


def test_the_steps_behind_a_resolved_one_wait_for_their_delay() -> None:
    move = resolve(execution("uncertain"), StepStatus.SUCCESS, steps=2)
    assert (move.status, move.counted_as) == (Status.WAITING, None)
    assert (move.node, move.due_at) == ("1", NOW + timedelta(hours=1))


def test_of_two_uncertain_steps_one_has_to_be_named() -> None:
    with pytest.raises(CommandRefused, match=r"of \[0, 1\]"):
        resolve(execution("uncertain", "uncertain"), StepStatus.SUCCESS)
    assert resolve(execution("uncertain", "uncertain"), StepStatus.SUCCESS, "1", 2).resolved == (1, "success")


def test_what_has_not_ended_is_not_resolved() -> None:
    with pytest.raises(CommandRefused, match="expected an execution that has ended"):
        resolve(execution("uncertain") | {"status": "waiting"}, StepStatus.SUCCESS)


def test_an_edit_that_cannot_be_followed_is_put_back_with_the_reason() -> None:
    move, update = ask(execution("success"), EditRefused("completed", "nothing to repeat"), linear(1))
    assert (move.status, move.counted_as) == (Status.COMPLETED, Status.COMPLETED)
    assert "nothing to repeat" in update["$set"]["last_error"]


def test_an_edit_of_what_had_no_end_ends_as_failed_and_is_not_counted() -> None:
    move, _ = ask(execution("success"), EditRefused(None, "odd"), linear(1))
    assert (move.status, move.counted_as) == (Status.FAILED, None)


BRANCHED: list[dict[str, Any]] = [
    {"type": "branch", "cases": [{"conditions": [], "actions": [TASK, TASK]}], "otherwise": []},
    TASK,
    {"type": "end", "reason": "enough"},
]


def taken(arm: str | None) -> dict[str, Any]:
    return record("0", "success", result={"taken": arm})


def in_tree(*records: dict[str, Any], **changes: Any) -> dict[str, Any]:
    document = execution_of(status="failed", actions_executed=list(records), counted_as="failed", due_at=None)
    return {**document, "at": records[-1]["node"], "step": int(records[-1]["node"][0]), **changes}


def test_a_retry_in_a_tree_begins_at_the_failed_node_and_writes_no_numbers() -> None:
    document = in_tree(taken("cases.0"), record("0.cases.0.0", "failed"), record("0.cases.0.1", "success"))
    move, update = retry(document, outline(BRANCHED))
    assert move.node == "0.cases.0.0"
    assert "redo" not in update["$set"]
    assert update["$push"]["retried"]["$each"][0]["node"] == "0.cases.0.0"


def run_on(document: dict[str, Any], *outcomes: Any) -> list[str]:
    """Return the nodes at which a retried execution of BRANCHED stands one after the other."""
    workflow = workflow_of(*BRANCHED)
    job = job_from({**document, "status": "pending", "due_at": NOW, "ran": document["actions_executed"]}, workflow)
    nodes = []
    for outcome in outcomes:
        unit = unit_of(job, advance(workflow.program, job, outcome, LATER))
        nodes.append(unit.move.node if unit.following is not None else f"ended {unit.move.status}")
        job = unit.following or job
    return nodes


def test_what_has_run_in_a_tree_is_passed_over_and_the_end_is_reached_again() -> None:
    records = (taken("cases.0"), record("0.cases.0.0", "failed"), record("0.cases.0.1", "success"))
    document = in_tree(*records, record("1", "failed"), record("2", "success"), at="0.cases.0.0", step=0)
    assert run_on(document, Done({}), Done({})) == ["1", "ended completed"]


def test_a_branch_that_is_judged_anew_runs_its_arm_and_then_only_what_failed_behind_it() -> None:
    document = in_tree(record("0", "failed"), record("1", "success"), record("2", "success"), at="0", step=0)
    assert run_on(document, Judged("cases.0"), Done({}), Fail("no")) == ["0.cases.0.0", "0.cases.0.1", "ended failed"]


def test_a_record_takes_the_place_of_the_one_of_its_node() -> None:
    workflow = workflow_of(TASK, TASK, TASK)
    records = execution("failed", "success", "failed")["actions_executed"]
    job = job_from(execution_of(step=0, ran=records), workflow)
    unit = unit_of(job, advance(workflow.program, job, Done({}), LATER))
    assert unit.update["$set"]["actions_executed.0"]["status"] == "success"
    assert (unit.update["$set"]["step"], unit.update["$set"]["redo"]) == (2, [3])
    assert "$push" not in unit.update


def test_a_step_that_is_repeated_does_not_wait_for_its_delay_again_and_a_new_one_does() -> None:
    workflow = workflow_of({**TASK, "delay": "1h"}, {**TASK, "delay": "1h"}, {**TASK, "delay": "1h"})
    records = execution("failed", "failed")["actions_executed"]
    job = job_from(execution_of(step=0, ran=records), workflow)
    first = unit_of(job, advance(workflow.program, job, Done({}), LATER))
    assert first.following is not None
    assert (first.following.node, first.following.due_at) == ("1", LATER)
    second = advance(workflow.program, first.following, Done({}), LATER)
    assert (second.node, second.due_at) == ("2", LATER + timedelta(hours=1))


def test_a_resolved_step_in_an_arm_is_followed_by_what_stands_behind_it() -> None:
    document = in_tree(taken("cases.0"), record("0.cases.0.0", "uncertain"))
    request = Resolved(StepStatus.SUCCESS, "0.cases.0.0", document["actions_executed"])
    move, update = ask(document, request, outline(BRANCHED))
    assert (move.status, move.node) == (Status.WAITING, "0.cases.0.1")
    assert update["$set"]["actions_executed.1.status"] == "success"


def test_an_execution_that_came_to_an_end_node_is_completed_by_resolving_it() -> None:
    document = in_tree(taken(None), record("1", "uncertain"), record("2", "success"))
    request = Resolved(StepStatus.SUCCESS, None, document["actions_executed"])
    assert ask(document, request, outline(BRANCHED))[0].status is Status.COMPLETED
