"""How an execution moves on: the compare-and-set, what it sets, and what follows."""

from datetime import timedelta
from typing import Any

import pytest

from actions.outcome import Done, EntityUpdate, Fail, Insert, Outcome, Postpone, Retry, Skip, Uncertain
from daemon.executions.job import Job
from daemon.executions.status import Status
from daemon.executions.transition import POSTPONED_FREELY, crash, end, finish, hand_back, intend
from daemon.executions.unit import Unit
from tests.support.jobs import NOW, TASK, job_of, workflow_of

LATER = NOW + timedelta(seconds=5)
TWO_STEPS = workflow_of(TASK, {**TASK, "delay": 60})
HALF_A_MINUTE = timedelta(seconds=30)
EXACT = workflow_of({**TASK, "retry": {"initial": 30, "maximum": 60, "jitter": 0, "max_attempts": 2}})
COME_BACK = Postpone(LATER + timedelta(minutes=10), "the line is full")


def finished(job: Job, outcome: Outcome = Done({}), time_scale: float = 1.0) -> Unit:  # noqa: B008
    return finish(job, outcome, epoch=7, began_at=NOW, now=LATER, time_scale=time_scale)


def running(**changes: Any) -> Job:
    return job_of(**{"status": "running", "attempt": 1, **changes})


def test_a_queued_step_is_finished_only_where_it_still_stands_as_it_was_taken() -> None:
    job = job_of()
    assert finished(job).filter == {"_id": job.execution_id, "step": 0, "attempt": 0, "status": "pending"}


def test_a_running_step_is_finished_only_by_the_owner_that_began_it() -> None:
    assert finished(running()).filter["epoch"] == 7


def test_the_last_step_completes_the_execution() -> None:
    unit = finished(job_of())
    assert (unit.ended, unit.following) == (Status.COMPLETED, None)
    assert unit.update["$set"]["completed_at"] == LATER
    assert "due_at" in unit.update["$unset"]


def test_a_step_is_followed_by_the_next_one_after_its_delay_from_now() -> None:
    unit = finished(job_of(TWO_STEPS))
    assert unit.following is not None
    assert (unit.following.step, unit.following.attempt, unit.following.status) == (1, 0, Status.WAITING)
    assert unit.following.due_at == unit.update["$set"]["due_at"] == LATER + timedelta(seconds=60)


def test_delays_are_divided_in_a_demonstration() -> None:
    unit = finished(job_of(TWO_STEPS), time_scale=60)
    assert unit.following is not None
    assert unit.following.due_at == LATER + timedelta(seconds=1)


@pytest.mark.parametrize("outcome", [Fail("no"), Uncertain("perhaps")])
def test_a_failure_is_remembered_until_the_end(outcome: Outcome) -> None:
    unit = finished(job_of(TWO_STEPS), outcome)
    assert unit.following is not None
    last = finished(unit.following)
    assert last.ended is Status.FAILED


def test_a_failure_that_stops_ends_the_execution() -> None:
    stopping = workflow_of({**TASK, "on_failure": "stop"}, TASK)
    assert finished(job_of(stopping), Fail("no")).ended is Status.FAILED


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Done({"x": 1}), {"status": "success", "result": {"x": 1}}),
        (Skip("no_email"), {"status": "skipped", "result": {"reason": "no_email"}}),
        (Fail("no"), {"status": "failed", "error": "no"}),
        (Uncertain("perhaps"), {"status": "uncertain", "error": "perhaps"}),
    ],
)
def test_the_history_tells_how_a_step_ended(outcome: Outcome, told: dict[str, Any]) -> None:
    record = finished(job_of(), outcome).record
    assert record == {
        "action_type": "create_task",
        **told,
        "attempts": 1,
        "started_at": NOW,
        "executed_at": LATER,
    }


def test_writes_are_committed_only_with_a_success() -> None:
    insert, update = Insert("tasks", {"_id": 1}), EntityUpdate({"score": 1})
    unit = finished(job_of(), Done({}, (insert, update)))
    assert (unit.inserts, unit.entity_updates) == ((insert,), (update,))


def test_an_error_is_cut_to_a_length_that_no_document_minds() -> None:
    assert len(finished(job_of(), Fail("x" * 10_000)).record["error"]) == 2_000


def test_a_retry_waits_and_counts_the_attempt() -> None:
    unit = finished(job_of(EXACT), Retry("busy"))
    assert unit.following is not None
    assert (unit.following.step, unit.following.attempt) == (0, 1)
    assert unit.update["$set"]["due_at"] == LATER + HALF_A_MINUTE
    assert unit.record == {}


def test_a_running_attempt_is_counted_by_its_intent_alone() -> None:
    unit = finished(running(attempt=2), Retry("busy"))
    assert unit.update["$set"]["attempt"] == 2


def test_the_last_attempt_that_fails_gives_up() -> None:
    unit = finished(running(attempt=5), Retry("busy"))
    assert unit.record["error"] == "gave up after 5 attempts: busy"


def test_a_postponed_step_comes_back_when_it_was_asked_to_and_says_why() -> None:
    unit = finished(job_of(EXACT), COME_BACK)
    told = {"reason": "the line is full", "until": COME_BACK.until, "since": LATER, "times": 1}
    assert unit.update["$set"]["postponed"] == told
    assert unit.following is not None
    assert (unit.following.due_at, unit.following.postponed) == (COME_BACK.until, told)
    assert unit.record == {}


@pytest.mark.parametrize("job", [job_of(EXACT), job_of(EXACT, status="waiting", attempt=1)])
def test_a_postponement_costs_a_queued_step_no_attempt(job: Job) -> None:
    unit = finished(job, COME_BACK)
    assert unit.update["$set"]["attempt"] == job.attempt
    assert "$inc" not in unit.update


def test_a_postponement_refunds_the_attempt_of_an_intent_and_records_it() -> None:
    unit = finished(job_of(EXACT, status="running", attempt=2), COME_BACK)
    assert (unit.update["$set"]["attempt"], unit.update["$inc"]) == (1, {"refunds": 1})


def test_a_step_is_postponed_whatever_attempts_it_has_left() -> None:
    unit = finished(job_of(EXACT, status="running", attempt=2), COME_BACK)
    assert (unit.ended, unit.update["$set"]["status"]) == (None, "waiting")


def test_postponements_are_counted_from_the_first_one_on() -> None:
    postponed = {"reason": "busy", "until": NOW, "since": NOW - timedelta(hours=3), "times": 4}
    told = finished(job_of(EXACT, postponed=postponed), COME_BACK).update["$set"]["postponed"]
    assert (told["since"], told["times"]) == (NOW - timedelta(hours=3), 5)


def test_postponements_are_divided_in_a_demonstration() -> None:
    unit = finished(job_of(EXACT), COME_BACK, time_scale=60)
    assert unit.update["$set"]["due_at"] == LATER + timedelta(seconds=10)


def test_what_is_postponed_a_day_after_the_first_time_counts_as_a_failed_attempt() -> None:
    postponed = {"reason": "busy", "until": NOW, "since": LATER - POSTPONED_FREELY, "times": 200}
    unit = finished(job_of(EXACT, postponed=postponed), COME_BACK)
    assert (unit.update["$set"]["attempt"], unit.update["$set"]["due_at"]) == (1, LATER + HALF_A_MINUTE)
    assert unit.following is not None
    last = finished(unit.following, COME_BACK)
    assert last.record["error"] == "gave up after 2 attempts: postponed for 1d: the line is full"


def test_postponements_of_one_step_are_not_held_against_the_next() -> None:
    postponed = {"reason": "busy", "until": NOW, "since": NOW, "times": 4}
    unit = finished(job_of(TWO_STEPS, postponed=postponed))
    assert unit.following is not None
    assert unit.following.postponed is None
    assert "postponed" in unit.update["$unset"]


def test_an_intent_takes_the_step_off_the_queue_and_counts_the_attempt() -> None:
    unit = intend(job_of(), 7, LATER)
    assert unit.following is not None
    assert (unit.following.status, unit.following.attempt) == (Status.RUNNING, 1)
    assert unit.update == {
        "$set": {"status": "running", "attempt": 1, "epoch": 7, "started_at": LATER, "step_started_at": LATER},
        "$unset": {"due_at": ""},
    }


def test_what_is_handed_back_gets_its_attempt_refunded_and_recorded() -> None:
    unit = hand_back(running(attempt=2), epoch=7)
    assert (unit.update["$set"]["attempt"], unit.update["$inc"]) == (1, {"refunds": 1})


def test_a_crash_keeps_the_attempt_and_counts_by_itself() -> None:
    unit = crash(running(attempt=2, crashes=1), epoch=7, now=LATER, error="died")
    assert unit.following is not None
    assert (unit.following.attempt, unit.following.crashes, unit.following.due_at) == (2, 2, LATER)


def test_crashes_of_one_step_are_not_held_against_the_next() -> None:
    unit = finished(job_of(TWO_STEPS, crashes=4))
    assert unit.following is not None
    assert unit.following.crashes == 0
    assert "crashes" in unit.update["$unset"]


def test_an_execution_can_be_ended_as_a_whole_with_a_reason() -> None:
    unit = end(job_of(), Status.CANCELLED, "stopped", LATER)
    assert unit.ended is Status.CANCELLED
    assert (unit.update["$set"]["reason"], unit.update["$set"]["completed_at"]) == ("stopped", LATER)
