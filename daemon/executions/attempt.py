"""One attempt at a step, and the running of its action."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from actions.action import Delivery
from actions.context import Context
from actions.outcome import Fail, Outcome, Postpone, Retry, Uncertain
from actions.retry import LONGEST_POSTPONEMENT
from actions.services import Services
from config.error import PermanentActionError, TransientActionError
from daemon.event import Event
from daemon.executions.job import Job
from daemon.telemetry import emit
from rules.workflow import Step, Workflow


@dataclass(slots=True)
class Attempt:
    """``queued`` is the job as it was taken from the lanes, ``job`` as it runs: the same for steps inside MongoDB,
    after its intent for those that reach outside. ``epoch`` is that of the lane's lease when it began.
    """

    queued: Job
    job: Job
    workflow: Workflow
    step: Step
    epoch: int
    began_at: datetime


def context_of(attempt: Attempt, entity: Mapping[str, Any], now: datetime, services: Services) -> Context:
    """Return what the action may see, with the deadline of this attempt: the step's ``timeout`` from now."""
    job = attempt.job
    return Context(
        entity,
        job.entity_type,
        job.entity_id,
        job.workflow_id,
        job.workflow_name,
        job.execution_id,
        job.node,
        max(job.attempt, 1),
        now,
        job.triggered_at,
        job.trigger,
        services,
        time.monotonic() + attempt.step.timeout.total_seconds(),
    )


async def perform(attempt: Attempt, context: Context) -> Outcome:
    """Run the action until its context's deadline and return its outcome, whatever the action does.

    Only the cancellation of the caller escapes. If the action returns something else than an outcome, it has failed.
    """
    began = time.monotonic()
    deadline = asyncio.timeout(None if context.deadline is None else context.deadline - began)
    try:
        async with deadline:
            outcome: object = await attempt.step.action.run(context)
    except TransientActionError as error:
        if error.retry_after is None:
            return Retry(str(error))
        passed = timedelta(seconds=time.monotonic() - began)
        return Postpone(context.now + passed + min(error.retry_after, LONGEST_POSTPONEMENT), str(error))
    except PermanentActionError as error:
        return Fail(str(error))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return Fail("the action cancelled itself")
    except Exception as error:
        if deadline.expired():
            return cut_off(attempt, context, f"no end within {attempt.step.timeout.total_seconds():g} s")
        return _crashed(attempt, context, error)
    if isinstance(outcome, Outcome):
        return outcome
    return _crashed(attempt, context, TypeError(f"expected an outcome, found {type(outcome).__name__}"))


def cut_off(attempt: Attempt, context: Context, error: str) -> Outcome:
    """Return the outcome of an action that was cut off: its own where it had one, Retry, or Uncertain.

    It is uncertain only where the effect had begun, as far as the action tells, and must not be repeated (promise 2).
    """
    action, effect = attempt.step.action, context.effect
    if effect.outcome is not None:
        return effect.outcome
    if action.tells_effect and not effect.has_begun:
        return Retry(f"{error}: its effect had not begun")
    if action.delivery is Delivery.AT_LEAST_ONCE:
        return Retry(error)
    return Uncertain(f"{error}: it may have taken effect")


def _crashed(attempt: Attempt, context: Context, error: Exception) -> Outcome:
    job, effect = attempt.job, context.effect
    emit(Event.ACTION_CRASHED, **job.names, action_type=attempt.step.action_type, error=error)
    problem = f"the action failed unexpectedly: {type(error).__name__}"
    if effect.outcome is not None:
        return effect.outcome
    is_in_doubt = effect.has_begun and attempt.step.action.delivery is Delivery.AT_MOST_ONCE
    return Uncertain(problem) if is_in_doubt else Fail(problem)
