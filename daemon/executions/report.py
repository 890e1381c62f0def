"""Say in the log how steps and executions ended."""

from daemon.event import Event
from daemon.executions.job import Job
from daemon.executions.status import Status, StepStatus
from daemon.executions.unit import Unit
from daemon.telemetry import emit


def report(unit: Unit) -> None:
    """Log what a committed unit means: the end of a step, that it comes again, the end of the execution."""
    job = unit.job
    record = unit.record
    if record:
        _report_step(unit)
    elif unit.following is not None and "postponed" in unit.update["$set"]:
        postponed = unit.update["$set"]["postponed"]
        emit(
            Event.STEP_POSTPONED,
            **job.names,
            step=job.step,
            action_type=_action_type(job),
            due_at=postponed["until"],
            reason=postponed["reason"],
            times=postponed["times"],
        )
    elif unit.following is not None and unit.following.status is Status.WAITING and "last_error" in unit.update["$set"]:
        emit(
            Event.STEP_RETRIED,
            **job.names,
            step=job.step,
            action_type=_action_type(job),
            attempt=unit.following.attempt,
            due_at=unit.following.due_at,
            error=unit.update["$set"]["last_error"],
        )
    if unit.ended is Status.COMPLETED:
        emit(Event.EXECUTION_COMPLETED, **job.names)
    elif unit.ended is Status.FAILED:
        emit(Event.EXECUTION_FAILED, **job.names, reason=unit.update["$set"].get("reason", "step failed"))
    elif unit.ended is Status.CANCELLED:
        emit(Event.EXECUTION_CANCELLED, **job.names, reason=unit.update["$set"].get("reason", ""))


def _report_step(unit: Unit) -> None:
    job, record = unit.job, unit.record
    step, action_type = job.step, record["action_type"]
    match record["status"]:
        case StepStatus.FAILED:
            emit(Event.STEP_FAILED, **job.names, step=step, action_type=action_type, error=record["error"])
        case StepStatus.UNCERTAIN:
            emit(Event.STEP_UNCERTAIN, **job.names, step=step, action_type=action_type, error=record["error"])
        case StepStatus.SKIPPED:
            reason = record["result"]["reason"]
            emit(Event.STEP_SKIPPED, **job.names, step=step, action_type=action_type, reason=reason)


def _action_type(job: Job) -> str:
    return job.workflow.steps[job.step].action_type if job.workflow is not None else ""
