"""Log the ends of steps and executions."""

from collections.abc import Mapping
from typing import Any

from daemon.event import Event
from daemon.executions.job import Job
from daemon.executions.status import Status, StepStatus
from daemon.executions.unit import Unit
from daemon.telemetry import emit
from rules.tree import number_of


def report(unit: Unit) -> None:
    """Log a committed unit: ends of steps, a later retry, the end of the execution."""
    job, move = unit.job, unit.move
    for record in unit.records:
        _report_step(job, record.document)
    if not move.records and move.ended is None:
        _report_wait(unit)
    if move.ended is Status.COMPLETED:
        emit(Event.EXECUTION_COMPLETED, **job.names)
    elif move.ended is Status.FAILED:
        emit(Event.EXECUTION_FAILED, **job.names, reason=move.reason or "step failed")
    elif move.ended is Status.CANCELLED:
        emit(Event.EXECUTION_CANCELLED, **job.names, reason=move.reason)


def _report_wait(unit: Unit) -> None:
    job, move = unit.job, unit.move
    where = {"step": number_of(job.node), "node": job.node, "action_type": _action_type(job)}
    if move.postponed is not None:
        told = move.postponed
        again = {"due_at": move.due_at, "reason": told["reason"], "times": told["times"]}
        emit(Event.STEP_POSTPONED, **job.names, **where, **again)
    elif move.error and move.status is Status.WAITING:
        tried = {"attempt": move.attempt, "due_at": move.due_at, "error": move.error}
        emit(Event.STEP_RETRIED, **job.names, **where, **tried)


def _report_step(job: Job, record: Mapping[str, Any]) -> None:
    if record["status"] == StepStatus.SUCCESS:
        return
    node: str = record["node"]
    where = {"step": number_of(node), "node": node, "action_type": record["action_type"]}
    match record["status"]:
        case StepStatus.FAILED:
            emit(Event.STEP_FAILED, **job.names, **where, error=record["error"])
        case StepStatus.UNCERTAIN:
            emit(Event.STEP_UNCERTAIN, **job.names, **where, error=record["error"])
        case StepStatus.SKIPPED:
            emit(Event.STEP_SKIPPED, **job.names, **where, reason=record["result"]["reason"])


def _action_type(job: Job) -> str:
    node = job.workflow.program.nodes.get(job.node) if job.workflow is not None else None
    return node.action_type if node is not None else ""
