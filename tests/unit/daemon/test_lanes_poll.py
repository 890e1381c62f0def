"""A poll that overlaps the end of a step must not bring the step back."""

from datetime import UTC, datetime

from bson import ObjectId

from daemon.executions.job import Job
from daemon.executions.lanes import Lanes
from daemon.executions.status import Status
from rules.cause import OUTSIDE

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job() -> Job:
    return Job(
        execution_id=ObjectId(),
        seq=1,
        workflow_id="w",
        workflow_name="w",
        workflow_version=1,
        workflow=None,
        trigger={},
        entity_type="lead",
        entity_id="e",
        entity_key=("lead", "e"),
        triggered_at=NOW,
        status=Status.PENDING,
        node="0",
        at="0",
        step=0,
        attempt=0,
        due_at=NOW,
        lane=0,
        cause=OUTSIDE,
        failed_steps=0,
        started_at=None,
        last_entity=None,
        crashes=0,
        postponed=None,
        ran={},
    )


def test_a_step_that_ended_during_a_poll_is_not_queued_again() -> None:
    lanes = Lanes(capacity=10)
    lanes.open(0)
    waiting = job()
    lanes.add(waiting)
    [taken] = lanes.take(NOW, 10)
    lanes.begin_poll()
    lanes.release(taken)
    lanes.end_poll([waiting], is_complete=True)
    assert lanes.take(NOW, 10) == []


def test_a_step_that_was_handed_back_before_a_poll_is_found_by_it() -> None:
    lanes = Lanes(capacity=10)
    lanes.open(0)
    waiting = job()
    lanes.add(waiting)
    [taken] = lanes.take(NOW, 10)
    lanes.release(taken)
    lanes.begin_poll()
    lanes.end_poll([waiting], is_complete=True)
    assert lanes.take(NOW, 10) == [waiting]
