"""Units of the group commit: a compare-and-set on one execution, and the effects that depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from actions.outcome import EntityUpdate, Insert, Write
from daemon.executions.job import Job
from daemon.executions.move import Move
from daemon.executions.ran import Record, ran_after
from daemon.executions.status import Status
from daemon.executions.update import update_of
from rules.tree import number_of


def is_in_state(document: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Return whether a document holds all values of ``state``; MongoDB keeps whole milliseconds."""
    return all(document.get(name) == _in_milliseconds(value) for name, value in state.items())


def state_query(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query that finds a document in ``state``, but not one whose lists only contain those values."""
    return {name: {"$eq": value, "$not": {"$type": "array"}} for name, value in state.items()}


def _in_milliseconds(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_milliseconds(each) for name, each in value.items()}
    if isinstance(value, Mapping):
        return {name: _in_milliseconds(each) for name, each in value.items()}
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value


@dataclass(frozen=True, slots=True)
class Unit:
    """One compare-and-set and its effects; all of it is committed, or nothing.

    ``filter`` names the state that the execution must still be in. ``records`` go into its history. ``following`` is
    what is queued, or runs, next for the same execution. ``needs_lease``: it may only be committed while the lane's
    lease can be trusted.
    """

    job: Job
    move: Move
    filter: Mapping[str, Any]
    update: Mapping[str, Any]
    records: tuple[Record, ...] = ()
    inserts: tuple[Insert, ...] = ()
    entity_updates: tuple[EntityUpdate, ...] = ()
    following: Job | None = None
    needs_lease: bool = False

    @property
    def ended(self) -> Status | None:
        """The status with which the execution ends with this unit: then its workflow's counters grow."""
        return self.move.ended


def unit_of(
    job: Job,
    move: Move,
    *,
    epoch: int | None = None,
    began_at: datetime | None = None,
    writes: tuple[Write, ...] = (),
) -> Unit:
    """Return the unit that carries out a move of ``job``.

    ``epoch``: that of the lane's lease, which is asked for where the execution is running. ``began_at``: when the
    attempt began that is the first to be stored.
    """
    update = update_of(job.workflow.program if job.workflow is not None else None, job, move, job.passed)
    if job.started_at is None and began_at is not None:
        update["$set"]["started_at"] = began_at
    is_start = move.status is Status.RUNNING
    if is_start:
        update["$set"] |= {"epoch": epoch, "step_started_at": began_at}
    return Unit(
        job,
        move,
        _expected(job, epoch),
        update,
        (*job.passed, *move.records),
        tuple(write for write in writes if isinstance(write, Insert)),
        tuple(write for write in writes if isinstance(write, EntityUpdate)),
        following_job(job, move, began_at) if move.ended is None else None,
        needs_lease=is_start,
    )


def following_job(job: Job, move: Move, began_at: datetime | None = None) -> Job:
    """Return the job as it is once a move was committed."""
    return replace(
        job,
        node=move.node,
        at=move.node,
        step=number_of(move.node),
        attempt=move.attempt,
        status=move.status,
        due_at=move.due_at or job.due_at,
        failed_steps=move.failed_steps,
        crashes=move.crashes,
        postponed=move.postponed if move.postponed is not None or move.node != job.node else job.postponed,
        started_at=job.started_at or began_at,
        ran=ran_after(job.ran, move.records),
        passed=(),
    )


def passing_job(job: Job, move: Move) -> Job:
    """Return the job behind a branch, before anything is stored."""
    return replace(
        job,
        node=move.node,
        failed_steps=move.failed_steps,
        ran=ran_after(job.ran, move.records),
        passed=(*job.passed, *move.records),
    )


def _expected(job: Job, epoch: int | None) -> dict[str, Any]:
    state = {"_id": job.execution_id, "at": job.at, "step": job.step, "attempt": job.attempt, "status": job.status}
    return {**state, "epoch": epoch} if job.status is Status.RUNNING else state
