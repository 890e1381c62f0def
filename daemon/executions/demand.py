"""Compute the slots that a step needs: of its workflow, its channel, its host, and of suspects of a crash."""

from typing import Final

from actions.services import Services
from config.limits import Limits
from daemon.executions.job import Job
from daemon.executions.slots import Key, Limit
from rules.identity import bson_bytes
from rules.step import Step

_WORKFLOW: Final = "workflow"
_CRASHED: Final = "crashed"
_CRASHES: Final = 2  # from then on the step may be the cause: others must not crash along with it


def limits_of(limits: Limits) -> dict[str, Limit]:
    """Return the limits by name: those of the settings, and one at a time of the steps that crashed repeatedly."""
    told = {
        _WORKFLOW: Limit(limits.workflow_at_once, limits.workflow_per_second),
        "host": Limit(limits.host_at_once, limits.host_per_second),
        "email": Limit(limits.email_at_once, limits.email_per_second),
        _CRASHED: Limit(at_once=1),
    }
    return {name: limit for name, limit in told.items() if limit != Limit()}


def demand_of(job: Job, step: Step, services: Services) -> tuple[Key, ...]:
    """Return the keys of the slots that a job needs for an attempt at ``step``, first that of its workflow."""
    alone: tuple[Key, ...] = ((_CRASHED, None),) if job.crashes >= _CRASHES else ()
    return ((_WORKFLOW, bson_bytes(job.workflow_id)), *step.action.uses(services), *alone)
