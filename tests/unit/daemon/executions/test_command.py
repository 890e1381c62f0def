"""What commands make of an execution document."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from daemon.executions.command import (
    Command,
    CommandRefused,
    Do,
    cancelled,
    cancelled_by_hand,
    command_from,
    put_back,
    resolved,
    retried,
)
from daemon.executions.status import Status, StepStatus

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
AN_ID = ObjectId("65f000000000000000000001")


def execution(*steps: str, **changes: Any) -> dict[str, Any]:
    """Return a failed execution whose steps ended as told."""
    records = [{"action_type": "a", "status": status, "executed_at": NOW} for status in steps]
    return {
        "status": "failed",
        "step": len(steps),
        "attempt": 0,
        "actions_executed": records,
        "counted_as": "failed",
        **changes,
    }


def retry(document: dict[str, Any], steps: int = 3) -> dict[str, Any]:
    return dict(retried(document, document["status"], steps, NOW, NOW).update["$set"])


def resolve(document: dict[str, Any], outcome: StepStatus, step: int | None = None, steps: int = 1) -> Any:
    command = Command(AN_ID, Do.RESOLVE, outcome, step)
    return resolved(document, command, [{"type": "a", "delay": "1h"}] * steps, NOW + timedelta(minutes=1))


def test_a_retry_goes_to_the_first_failed_step_then_to_the_others_then_on() -> None:
    fields = retry(execution("failed", "success", "failed"), steps=4)
    assert (fields["step"], fields["redo"], fields["failed_steps"]) == (0, [2, 3], 0)


def test_a_retry_may_be_postponed_as_if_the_step_had_never_been() -> None:
    assert "postponed" in retried(execution("failed"), "failed", 1, NOW, NOW).update["$unset"]


def test_a_retry_keeps_what_it_repeats() -> None:
    move = retried(execution("success", "failed"), "failed", 2, NOW, NOW)
    (kept,) = move.update["$push"]["retried"]["$each"]
    assert (kept["step"], kept["retried_at"]) == (1, NOW)
    assert move.counted_as is None


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (execution("success", status="completed"), "expected a failed or cancelled execution"),
        (execution(status="waiting"), "expected a failed or cancelled execution"),
        (execution("success"), "no step has failed"),
        (execution("failed", "uncertain"), "step 1 is uncertain"),
        (execution("success", "success", "success", status="cancelled"), "after its last step"),
        (execution("uncertain", status="cancelled"), "uncertain: resolve it first"),
    ],
)
def test_a_retry_that_would_repeat_nothing_or_blindly_is_refused(document: dict[str, Any], why: str) -> None:
    with pytest.raises(CommandRefused, match=why):
        retry(document)


def test_a_cancelled_execution_goes_on_where_it_stood() -> None:
    assert "step" not in retry(execution("success", status="cancelled"))


def test_what_an_action_is_at_work_on_is_not_cancelled() -> None:
    with pytest.raises(CommandRefused, match="running"):
        cancelled(execution(status="running"), NOW)


@pytest.mark.parametrize("status", ["pending", "waiting", "held"])
def test_what_waits_is_cancelled_and_leaves_the_queue(status: str) -> None:
    move = cancelled(execution(status=status), NOW)
    assert (move.counted_as, move.update["$set"]["completed_at"]) == (Status.CANCELLED, NOW)
    assert {"due_at", "held_due_at"} <= set(move.update["$unset"])


def test_what_was_at_work_when_it_was_cancelled_by_hand_becomes_uncertain() -> None:
    document = execution("success", status="cancelled", attempt=1)
    fields = cancelled_by_hand(document, "send_email", NOW).update["$set"]
    assert fields["actions_executed.1"]["status"] == "uncertain"
    assert (fields["step"], fields["failed_steps"]) == (2, 1)


def test_what_waited_when_it_was_cancelled_by_hand_is_just_ended() -> None:
    document = execution("success", status="cancelled", attempt=1, due_at=NOW)
    assert "step" not in cancelled_by_hand(document, "send_email", NOW).update["$set"]


def test_resolving_the_last_failure_completes_the_execution() -> None:
    move = resolve(execution("uncertain"), StepStatus.SUCCESS)
    assert (move.status, move.counted_as) == (Status.COMPLETED, Status.COMPLETED)


def test_resolving_one_of_two_failures_leaves_it_failed() -> None:
    move = resolve(execution("uncertain", "failed"), StepStatus.SUCCESS, steps=2)
    assert (move.status, move.update["$set"]["failed_steps"]) == (Status.FAILED, 1)


def test_resolving_as_failed_leaves_it_failed_and_counted() -> None:
    move = resolve(execution("uncertain"), StepStatus.FAILED)
    assert (move.status, move.counted_as, move.update["$set"]["failed_steps"]) == (Status.FAILED, "failed", 1)


def test_the_steps_behind_a_resolved_one_wait_for_their_delay() -> None:
    move = resolve(execution("uncertain"), StepStatus.SUCCESS, steps=2)
    assert (move.status, move.counted_as) == (Status.WAITING, None)
    assert (move.update["$set"]["step"], move.update["$set"]["due_at"]) == (1, NOW + timedelta(hours=1))


def test_of_two_uncertain_steps_one_has_to_be_named() -> None:
    with pytest.raises(CommandRefused, match=r"of \[0, 1\]"):
        resolve(execution("uncertain", "uncertain"), StepStatus.SUCCESS)


def test_what_has_not_ended_is_not_resolved() -> None:
    with pytest.raises(CommandRefused, match="expected an execution that has ended"):
        resolve(execution("uncertain", status="waiting"), StepStatus.SUCCESS)


def test_an_edit_that_cannot_be_followed_is_put_back_with_the_reason() -> None:
    move = put_back("completed", "nothing to repeat", NOW)
    assert (move.status, move.counted_as) == (Status.COMPLETED, Status.COMPLETED)
    assert "nothing to repeat" in move.update["$set"]["last_error"]


@pytest.mark.parametrize(
    ("request_document", "why"),
    [
        ({"execution_id": AN_ID, "do": "retri"}, "did you mean 'retry'"),
        ({"execution_id": AN_ID}, "do: expected one of retry, cancel, resolve; found null"),
        ({"execution_id": {"$ne": None}, "do": "retry"}, "execution_id: expected the id"),
        ({"execution_id": AN_ID, "do": "resolve", "as": "uncertain"}, "as: expected success or failed"),
        ({"execution_id": AN_ID, "do": "resolve", "as": "success", "step": -1}, "step: expected the number"),
        ({"execution_id": AN_ID, "do": "retry", "stepp": 1}, "did you mean 'step'"),
        ({"execution_id": AN_ID, "do": ["retry"]}, "do: expected one of"),
    ],
)
def test_a_request_that_is_no_command_is_refused_with_what_was_expected(
    request_document: dict[str, Any], why: str
) -> None:
    with pytest.raises(CommandRefused, match=why):
        command_from(request_document)


def test_an_id_may_be_given_as_text() -> None:
    assert command_from({"execution_id": str(AN_ID), "do": "retry"}).execution_id == AN_ID
