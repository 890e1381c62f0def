"""What comes next for an execution, whatever happens to it."""

from datetime import timedelta
from typing import Any

import pytest

from actions.outcome import Done, EntityUpdate, Fail, Insert, Outcome, Postpone, Retry, Skip, Uncertain
from daemon.executions.job import Job
from daemon.executions.machine import DIED, MAX_CRASHES, POSTPONED_FREELY, advance, enter
from daemon.executions.move import Move
from daemon.executions.occurrence import Began, Corrupt, Died, HandedBack, Judged, Occurrence, Reached, Stopped
from daemon.executions.status import Status
from daemon.executions.unit import Unit, following_job, passing_job, unit_of
from rules.program import Program
from tests.support.jobs import NOW, TASK, job_of, workflow_of

LATER = NOW + timedelta(seconds=5)
TWO_STEPS = workflow_of(TASK, {**TASK, "delay": 60})
EMAIL = {"type": "send_email", "template": "welcome_email"}
EXACT = workflow_of({**TASK, "retry": {"initial": 30, "maximum": 60, "jitter": 0, "max_attempts": 2}})
COME_BACK = Postpone(LATER + timedelta(minutes=10), "the line is full")
HOT = [{"field": "score", "operator": "greater_than", "value": 80}]


def program_of(job: Job) -> Program:
    assert job.workflow is not None
    return job.workflow.program


def moved(job: Job, occurrence: Occurrence = Done({}), time_scale: float = 1.0) -> Move:  # noqa: B008
    return advance(program_of(job), job, occurrence, LATER, began_at=NOW, time_scale=time_scale)


def unit(job: Job, occurrence: Occurrence = Done({})) -> Unit:  # noqa: B008
    writes = occurrence.writes if isinstance(occurrence, Done) else ()
    return unit_of(job, moved(job, occurrence), epoch=7, began_at=NOW, writes=writes)


def running(*actions: dict[str, Any], **changes: Any) -> Job:
    return job_of(workflow_of(*actions), **{"status": "running", "attempt": 1, **changes})


def test_an_execution_begins_at_its_first_node_and_waits_where_that_has_a_delay() -> None:
    move = enter(TWO_STEPS.program, NOW, LATER, 1.0)
    assert (move.status, move.node, move.due_at) == (Status.PENDING, "0", LATER)
    move = enter(workflow_of({**TASK, "delay": 60}).program, NOW, LATER, 1.0)
    assert (move.status, move.due_at) == (Status.WAITING, NOW + timedelta(seconds=60))


def test_a_queued_step_is_finished_only_where_it_still_stands_as_it_was_taken() -> None:
    job = job_of(at="0")
    expected = {"_id": job.execution_id, "at": "0", "step": 0, "attempt": 0, "status": "pending"}
    assert unit(job).filter == expected


def test_one_that_the_version_before_has_queued_is_finished_where_it_has_no_node() -> None:
    assert unit(job_of()).filter["at"] is None


def test_a_running_step_is_finished_only_by_the_owner_that_began_it() -> None:
    assert unit(running()).filter["epoch"] == 7


def test_the_last_step_completes_the_execution() -> None:
    last = unit(job_of())
    assert (last.ended, last.following) == (Status.COMPLETED, None)
    assert last.update["$set"]["completed_at"] == LATER
    assert "due_at" in last.update["$unset"]


def test_a_step_is_followed_by_the_next_one_after_its_delay_from_now() -> None:
    first = unit(job_of(TWO_STEPS))
    assert first.following is not None
    assert (first.following.node, first.following.attempt, first.following.status) == ("1", 0, Status.WAITING)
    assert first.following.due_at == first.update["$set"]["due_at"] == LATER + timedelta(seconds=60)


def test_delays_are_divided_in_a_demonstration() -> None:
    assert moved(job_of(TWO_STEPS), time_scale=60).due_at == LATER + timedelta(seconds=1)


@pytest.mark.parametrize("outcome", [Fail("no"), Uncertain("perhaps")])
def test_a_failure_is_remembered_until_the_end(outcome: Outcome) -> None:
    following = unit(job_of(TWO_STEPS), outcome).following
    assert following is not None
    assert moved(following).ended is Status.FAILED


def test_a_failure_that_stops_ends_the_execution() -> None:
    assert moved(job_of(workflow_of({**TASK, "on_failure": "stop"}, TASK)), Fail("no")).ended is Status.FAILED


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
    (record,) = moved(job_of(), outcome).records
    named = {"node": "0", "action_type": "create_task"}
    assert record.document == {**named, **told, "attempts": 1, "started_at": NOW, "executed_at": LATER}


def test_writes_are_committed_with_a_success() -> None:
    insert, update = Insert("tasks", {"_id": 1}), EntityUpdate({"score": 1})
    done = unit(job_of(), Done({}, (insert, update)))
    assert (done.inserts, done.entity_updates) == ((insert,), (update,))


def test_an_error_is_cut_to_a_length_that_no_document_minds() -> None:
    assert len(moved(job_of(), Fail("x" * 10_000)).records[0].document["error"]) == 2_000


def test_a_retry_waits_and_counts_the_attempt() -> None:
    move = moved(job_of(EXACT), Retry("busy"))
    assert (move.node, move.attempt, move.due_at, move.records) == ("0", 1, LATER + timedelta(seconds=30), ())


def test_a_running_attempt_is_counted_by_its_intent_alone() -> None:
    assert moved(running(attempt=2), Retry("busy")).attempt == 2


def test_the_last_attempt_that_fails_gives_up() -> None:
    (record,) = moved(running(attempt=5), Retry("busy")).records
    assert record.document["error"] == "gave up after 5 attempts: busy"


def test_a_postponed_step_comes_back_when_it_was_asked_to_and_says_why() -> None:
    later = unit(job_of(EXACT), COME_BACK)
    told = {"reason": "the line is full", "until": COME_BACK.until, "since": LATER, "times": 1}
    assert later.update["$set"]["postponed"] == told
    assert later.following is not None
    assert (later.following.due_at, later.following.postponed) == (COME_BACK.until, told)
    assert later.records == ()


@pytest.mark.parametrize("job", [job_of(EXACT), job_of(EXACT, status="waiting", attempt=1)])
def test_a_postponement_costs_a_queued_step_no_attempt(job: Job) -> None:
    move = moved(job, COME_BACK)
    assert (move.attempt, move.is_refund) == (job.attempt, False)


def test_a_postponement_refunds_the_attempt_of_an_intent_and_records_it() -> None:
    move = moved(job_of(EXACT, status="running", attempt=2), COME_BACK)
    assert (move.attempt, move.is_refund) == (1, True)


def test_a_step_is_postponed_whatever_attempts_it_has_left() -> None:
    assert moved(job_of(EXACT, status="running", attempt=2), COME_BACK).status is Status.WAITING


def test_postponements_are_counted_from_the_first_one_on() -> None:
    postponed = {"reason": "busy", "until": NOW, "since": NOW - timedelta(hours=3), "times": 4}
    told = moved(job_of(EXACT, postponed=postponed), COME_BACK).postponed or {}
    assert (told["since"], told["times"]) == (NOW - timedelta(hours=3), 5)


def test_postponements_are_divided_in_a_demonstration() -> None:
    assert moved(job_of(EXACT), COME_BACK, time_scale=60).due_at == LATER + timedelta(seconds=10)


def test_what_is_postponed_a_day_after_the_first_time_counts_as_a_failed_attempt() -> None:
    postponed = {"reason": "busy", "until": NOW, "since": LATER - POSTPONED_FREELY, "times": 200}
    again = unit(job_of(EXACT, postponed=postponed), COME_BACK)
    assert again.following is not None
    assert (again.following.attempt, again.following.due_at) == (1, LATER + timedelta(seconds=30))
    (record,) = moved(again.following, COME_BACK).records
    assert record.document["error"] == "gave up after 2 attempts: postponed for 1d: the line is full"


def test_postponements_of_one_step_are_not_held_against_the_next() -> None:
    postponed = {"reason": "busy", "until": NOW, "since": NOW, "times": 4}
    first = unit(job_of(TWO_STEPS, postponed=postponed))
    assert first.following is not None
    assert first.following.postponed is None
    assert "postponed" in first.update["$unset"]


def test_an_intent_takes_the_step_off_the_queue_and_counts_the_attempt() -> None:
    begun = unit(job_of(), Began())
    assert begun.following is not None
    assert (begun.following.status, begun.following.attempt, begun.needs_lease) == (Status.RUNNING, 1, True)
    fields = {"status": "running", "at": "0", "step": 0, "attempt": 1, "epoch": 7}
    assert begun.update == {
        "$set": {**fields, "started_at": NOW, "step_started_at": NOW},
        "$unset": {"due_at": ""},
    }


def test_what_is_handed_back_gets_its_attempt_refunded_and_recorded_and_keeps_its_place() -> None:
    begun = following_job(job_of(due_at=NOW), moved(job_of(), Began()))
    back = unit(begun, HandedBack())
    assert (back.update["$set"]["attempt"], back.update["$inc"]) == (0, {"refunds": 1})
    assert back.update["$set"]["due_at"] == NOW


def test_what_may_be_repeated_runs_again_after_the_death_of_its_owner() -> None:
    move = moved(running(TASK, attempt=2, crashes=1), Died())
    assert (move.status, move.attempt, move.crashes, move.due_at) == (Status.WAITING, 2, 2, LATER)
    assert move.error == DIED


def test_what_must_not_be_repeated_is_uncertain_after_the_death_of_its_owner() -> None:
    move = moved(running(EMAIL), Died())
    assert (move.ended, move.records[0].document["status"]) == (Status.FAILED, "uncertain")


def test_the_last_death_that_is_borne_fails_the_step() -> None:
    move = moved(running(TASK, crashes=MAX_CRASHES - 1), Died())
    assert move.records[0].document["error"] == "crashed"


def test_crashes_of_one_step_are_not_held_against_the_next() -> None:
    first = unit(job_of(TWO_STEPS, crashes=4))
    assert first.following is not None
    assert first.following.crashes == 0
    assert "crashes" in first.update["$unset"]


def test_a_stop_cancels_what_waits_with_the_reason() -> None:
    stopped = unit(job_of(), Stopped())
    assert stopped.ended is Status.CANCELLED
    assert (stopped.update["$set"]["reason"], stopped.update["$set"]["completed_at"]) == ("stopped", LATER)


def test_what_cannot_be_what_the_daemon_wrote_fails_and_one_that_had_ended_keeps_its_end() -> None:
    move = moved(job_of(), Corrupt("odd"))
    assert (move.ended, move.reason, move.error, move.ended_at) == (Status.FAILED, "corrupt", "odd", LATER)
    kept = moved(job_of(), Corrupt("odd", "completed"))
    assert (kept.ended, kept.ended_at) == (Status.COMPLETED, None)


BRANCHED = workflow_of(
    {
        "type": "branch",
        "cases": [
            {"name": "hot", "conditions": HOT, "actions": [{**TASK, "delay": 60}]},
            {"conditions": HOT, "actions": [{"type": "end", "reason": "too late"}]},
        ],
    },
    TASK,
)


def test_a_branch_leads_into_the_arm_that_was_taken_and_the_record_says_why() -> None:
    finding = {"field": "score", "verdict": "met"}
    move = moved(job_of(BRANCHED), Judged("cases.0", "hot", [finding]))
    assert (move.node, move.due_at) == ("0.cases.0.0", LATER + timedelta(seconds=60))
    record = move.records[0].document
    assert (record["node"], record["action_type"], record["status"]) == ("0", "branch", "success")
    assert record["result"] == {"taken": "cases.0", "name": "hot", "findings": [finding]}


def test_without_a_way_to_go_a_branch_leads_behind_itself() -> None:
    move = moved(job_of(BRANCHED), Judged("otherwise"))
    assert (move.node, move.records[0].document["result"]["taken"]) == ("1", None)


def test_behind_the_last_step_of_an_arm_the_execution_goes_on_behind_the_branch() -> None:
    assert moved(job_of(BRANCHED, at="0.cases.0.0")).node == "1"


def test_an_end_is_reached_with_the_node_before_it_and_completes_the_execution_with_its_reason() -> None:
    move = moved(job_of(BRANCHED), Judged("cases.1"))
    assert (move.ended, move.reason) == (Status.COMPLETED, "too late")
    assert [(record.document["node"], record.document["result"].get("reason")) for record in move.records] == [
        ("0", None),
        ("0.cases.1.0", "too late"),
    ]


def test_an_end_that_nothing_leads_to_ends_the_execution_too() -> None:
    move = moved(job_of(workflow_of({"type": "end", "reason": "enough"}, TASK)), Reached())
    assert (move.ended, move.reason, len(move.records)) == (Status.COMPLETED, "enough", 1)


def test_an_end_does_not_hide_what_failed_before_it() -> None:
    workflow = workflow_of(TASK, {"type": "end", "reason": "enough"})
    assert moved(job_of(workflow), Fail("no")).ended is Status.FAILED


def test_a_branch_that_cannot_be_judged_fails_and_is_passed_unless_it_stops() -> None:
    move = moved(job_of(BRANCHED), Fail("too costly"))
    assert (move.node, move.failed_steps, move.records[0].document["status"]) == ("1", 1, "failed")
    document = {"type": "branch", "cases": [{"conditions": HOT, "actions": [TASK]}], "on_failure": "stop"}
    assert moved(job_of(workflow_of(document, TASK)), Fail("too costly")).ended is Status.FAILED


def test_what_was_passed_in_memory_is_recorded_with_the_step_behind_it_from_where_mongodb_stands() -> None:
    job = job_of(BRANCHED, at="0")
    passed = passing_job(job, moved(job, Judged("cases.0")))
    assert (passed.node, passed.at) == ("0.cases.0.0", "0")
    begun = unit(passed, Began())
    assert begun.filter["at"] == "0"
    assert begun.update["$set"]["at"] == "0.cases.0.0"
    assert begun.update["$push"]["actions_executed"]["node"] == "0"
    assert begun.following is not None
    ended = unit(begun.following)
    assert (ended.filter["at"], [record.document["node"] for record in ended.records]) == (
        "0.cases.0.0",
        ["0.cases.0.0"],
    )
