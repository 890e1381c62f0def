"""Units of the group commit: a compare-and-set on one execution, and the effects that depend on it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

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
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value


class Unit(NamedTuple):
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
    program = job.workflow.program if job.workflow is not None else None
    update = update_of(program, job, move, job.passed)
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
        (*job.passed, *move.records) if job.passed else move.records,
        tuple([write for write in writes if isinstance(write, Insert)]) if writes else (),
        tuple([write for write in writes if isinstance(write, EntityUpdate)]) if writes else (),
        following_job(job, move, began_at) if move.ended is None else None,
        needs_lease=is_start,
    )


def following_job(job: Job, move: Move, began_at: datetime | None = None) -> Job:
    """Return the job as it is once a move was committed."""
    is_same = move.node == job.node
    return Job(  # written out: three times as fast as ``replace``
        job.execution_id,
        job.seq,
        job.workflow_id,
        job.workflow_name,
        job.workflow_version,
        job.workflow,
        job.trigger,
        job.entity_type,
        job.entity_id,
        job.entity_key,
        job.triggered_at,
        move.status,
        move.node,
        move.node,
        number_of(move.node),
        move.attempt,
        move.due_at or job.due_at,
        job.lane,
        job.cause,
        move.failed_steps,
        job.started_at or began_at,
        job.last_entity,
        move.crashes,
        move.postponed or (job.postponed if is_same else None),
        ran_after(job.ran, move.records),
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
