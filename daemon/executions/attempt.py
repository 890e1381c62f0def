"""One attempt at a step, from the moment it was taken until it is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from actions.context import Context
from actions.services import Services
from daemon.executions.job import Job
from rules.workflow import Step, Workflow


@dataclass(frozen=True, slots=True)
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
    """Return what the action may see."""
    job = attempt.job
    return Context(
        entity,
        job.entity_type,
        job.entity_id,
        job.workflow_id,
        job.workflow_name,
        job.execution_id,
        job.step,
        max(job.attempt, 1),
        now,
        job.triggered_at,
        job.trigger,
        services,
    )
