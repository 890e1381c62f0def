"""How an execution moves on: pure functions from a job and an outcome to the unit that records it.

Every move is a compare-and-set on (_id, step, attempt, epoch, status), so whoever comes second matches nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from actions.outcome import Done, EntityUpdate, Fail, Insert, Outcome, Postpone, Retry, Skip, Uncertain
from actions.retry import delay_before, postponement
from config.duration import duration_text
from daemon.executions.job import Job
from daemon.executions.status import Status, StepStatus
from daemon.executions.unit import Unit
from rules.workflow import OnFailure, Step, Workflow

POSTPONED_FREELY: Final = timedelta(days=1)  # since a step was first postponed; later ones count as failed attempts
_ERROR_CHARACTERS: Final = 2_000
_OF_ONE_STEP: Final[Mapping[str, str]] = {"last_error": "", "crashes": "", "postponed": ""}  # gone once it has ended


def intend(job: Job, epoch: int, now: datetime) -> Unit:
    """Return the unit that stores the intent to start an attempt outside MongoDB; ``following`` is that attempt."""
    running = replace(job, attempt=job.attempt + 1, status=Status.RUNNING, started_at=job.started_at or now)
    fields = {
        "status": Status.RUNNING,
        "attempt": running.attempt,
        "epoch": epoch,
        "started_at": running.started_at,
        "step_started_at": now,
    }
    update = {"$set": fields, "$unset": {"due_at": ""}}
    return Unit(job, _expected(job), update, following=running, needs_lease=True)


def finish(job: Job, outcome: Outcome, *, epoch: int, began_at: datetime, now: datetime, time_scale: float) -> Unit:
    """Return the unit that records how an attempt ended and queues what comes next.

    ``time_scale`` divides delays, for demonstrations; 1 otherwise.
    """
    workflow, step = _pinned(job)
    attempts = _attempts(job)
    if isinstance(outcome, Postpone):
        if _may_be_postponed(job, now):
            return _postponed(job, outcome, epoch, began_at, now, time_scale)
        outcome = Retry(f"postponed for {duration_text(POSTPONED_FREELY)}: {outcome.reason}")
    if isinstance(outcome, Retry):
        if attempts < step.retry.max_attempts:
            return _retried(job, outcome, epoch, began_at, now, time_scale)
        outcome = Fail(f"gave up after {attempts} attempts: {outcome.error}" if attempts > 1 else outcome.error)
    record = {
        "action_type": step.action_type,
        **_told(outcome),
        "attempts": attempts,
        "started_at": began_at,
        "executed_at": now,
    }
    has_failed = isinstance(outcome, (Fail, Uncertain))
    failed_steps = job.failed_steps + has_failed
    next_step = job.redo[0] if job.redo else job.step + 1
    is_last = next_step >= len(workflow.steps) or (has_failed and step.on_failure is OnFailure.STOP)
    fields: dict[str, Any] = {"step": next_step, "attempt": 0, "started_at": job.started_at or began_at}
    if has_failed:
        fields["failed_steps"] = failed_steps
    update: dict[str, Any] = {"$set": fields}
    if job.redo:
        fields |= {f"actions_executed.{job.step}": record, "redo": list(job.redo[1:])}
    else:
        update["$push"] = {"actions_executed": record}
    ended: Status | None = None
    following: Job | None = None
    if is_last:
        ended = Status.FAILED if failed_steps else Status.COMPLETED
        fields |= {"status": ended, "counted_as": ended, "completed_at": now}
        update["$unset"] = {"due_at": "", **_OF_ONE_STEP}
    else:
        has_waited = len(job.redo) > 1  # another step that is repeated: its delay is over
        due_at = now if has_waited else now + workflow.steps[next_step].delay / time_scale
        fields |= {"status": Status.WAITING, "due_at": due_at}
        update["$unset"] = _OF_ONE_STEP
        following = replace(
            job,
            step=next_step,
            redo=job.redo[1:],
            attempt=0,
            status=Status.WAITING,
            due_at=due_at,
            failed_steps=failed_steps,
            crashes=0,
            postponed=None,
            started_at=fields["started_at"],
        )
    writes = outcome.writes if isinstance(outcome, Done) else ()
    return Unit(
        job,
        _expected(job, epoch),
        update,
        tuple(write for write in writes if isinstance(write, Insert)),
        tuple(write for write in writes if isinstance(write, EntityUpdate)),
        ended,
        following,
        record,
    )


def hand_back(job: Job, *, epoch: int) -> Unit:
    """Return the unit that queues a running attempt again with its number refunded: its effect had not begun.

    It keeps its place: what was due after it must not overtake it.
    """
    waiting = replace(job, attempt=job.attempt - 1, status=Status.WAITING)
    fields = {"status": Status.WAITING, "attempt": waiting.attempt, "due_at": job.due_at}
    return Unit(job, _expected(job, epoch), {"$set": fields, "$inc": {"refunds": 1}}, following=waiting)


def crash(job: Job, *, epoch: int, now: datetime, error: str) -> Unit:
    """Return the unit that queues a step again whose owner died while it was at work: no retry, but a crash more."""
    crashes = job.crashes + 1
    waiting = replace(job, status=Status.WAITING, due_at=now, crashes=crashes)
    fields = {"status": Status.WAITING, "due_at": now, "crashes": crashes, "last_error": error}
    return Unit(job, _expected(job, epoch), {"$set": fields}, following=waiting)


def end(job: Job, status: Status, reason: str, now: datetime, *, epoch: int | None = None) -> Unit:
    """Return the unit that ends an execution as a whole: cancelled, or failed for ``reason``.

    ``epoch`` is only asked for where the execution is running.
    """
    fields = {"status": status, "counted_as": status, "reason": reason, "completed_at": now}
    update = {"$set": fields, "$unset": {"due_at": "", "held_due_at": ""}}
    return Unit(job, _expected(job, epoch), update, ended=status)


def _may_be_postponed(job: Job, now: datetime) -> bool:
    return job.postponed is None or now - job.postponed["since"] < POSTPONED_FREELY


def _postponed(job: Job, outcome: Postpone, epoch: int, began_at: datetime, now: datetime, time_scale: float) -> Unit:
    """Return the unit that queues the step again later, under the number that this attempt had."""
    _, step = _pinned(job)
    before = job.postponed or {"since": now, "times": 0}
    times = before["times"] + 1
    due_at = now + postponement(step.retry, outcome.until - now, times) / time_scale
    postponed = {
        "reason": outcome.reason[:_ERROR_CHARACTERS],
        "until": due_at,
        "since": before["since"],
        "times": times,
    }
    is_refunded = job.status is Status.RUNNING
    waiting = replace(
        job,
        attempt=job.attempt - is_refunded,
        status=Status.WAITING,
        due_at=due_at,
        started_at=job.started_at or began_at,
        postponed=postponed,
    )
    fields = {
        "status": Status.WAITING,
        "attempt": waiting.attempt,
        "due_at": due_at,
        "started_at": waiting.started_at,
        "postponed": postponed,
    }
    update: dict[str, Any] = {"$set": fields}
    if is_refunded:
        update["$inc"] = {"refunds": 1}
    return Unit(job, _expected(job, epoch), update, following=waiting)


def _retried(job: Job, outcome: Retry, epoch: int, began_at: datetime, now: datetime, time_scale: float) -> Unit:
    _, step = _pinned(job)
    attempts = _attempts(job)
    due_at = now + delay_before(step.retry, attempts + 1) / time_scale
    waiting = replace(
        job, attempt=attempts, status=Status.WAITING, due_at=due_at, started_at=job.started_at or began_at
    )
    fields = {
        "status": Status.WAITING,
        "attempt": attempts,
        "due_at": due_at,
        "started_at": waiting.started_at,
        "last_error": outcome.error[:_ERROR_CHARACTERS],
    }
    return Unit(job, _expected(job, epoch), {"$set": fields}, following=waiting)


def _expected(job: Job, epoch: int | None = None) -> dict[str, Any]:
    state = {"_id": job.execution_id, "step": job.step, "attempt": job.attempt, "status": job.status}
    return {**state, "epoch": epoch} if job.status is Status.RUNNING else state


def _attempts(job: Job) -> int:
    """Return how many attempts the step has had, with the one that has just ended."""
    return job.attempt + (0 if job.status is Status.RUNNING else 1)


def _pinned(job: Job) -> tuple[Workflow, Step]:
    if job.workflow is None:
        raise ValueError(f"execution {job.execution_id} has no workflow loaded")
    return job.workflow, job.workflow.steps[job.step]


def _told(outcome: Done | Skip | Fail | Uncertain) -> Mapping[str, Any]:
    """Return the part of the history record that differs by outcome."""
    match outcome:
        case Done():
            return {"status": StepStatus.SUCCESS, "result": dict(outcome.result)}
        case Skip():
            return {"status": StepStatus.SKIPPED, "result": outcome.told}
        case Uncertain():
            return {"status": StepStatus.UNCERTAIN, "error": outcome.error[:_ERROR_CHARACTERS]}
        case Fail():
            return {"status": StepStatus.FAILED, "error": outcome.error[:_ERROR_CHARACTERS]}
