"""Executions that end where they begin: in the transaction that takes their change in.

Where every step is immediate, has no conditions and does nothing but insert documents, a second transaction would
only cost time: the execution is stored as ended, together with what it inserted, exactly once by construction. Only
for entities that were just created: nothing else can be due for them, so nothing is overtaken (promise 3).
"""

from datetime import datetime
from typing import Any

from actions.action import Reach
from actions.outcome import Done, Insert, Skip
from actions.services import Services
from daemon.executions.attempt import Attempt, context_of
from daemon.executions.job import Job
from daemon.executions.transition import finish
from daemon.stream.entrant import Entrant
from rules.trigger import TriggerType
from rules.workflow import Workflow


class Immediate:
    """Ends executions at intake where that is possible."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def may_end(self, entrant: Entrant) -> bool:
        """Return whether the entrant's execution could end at intake, if nothing else is due for its entity."""
        workflow = entrant.workflow
        return (
            workflow.trigger.type is TriggerType.ENTITY_CREATED
            and entrant.entity is not None
            and not entrant.is_forced
            and _only_inserts(workflow)
        )

    async def end(
        self, job: Job, entrant: Entrant, document: dict[str, Any], now: datetime
    ) -> tuple[Insert, ...] | None:
        """Run all steps of a new execution; return what they insert, with ``document`` brought to its end.

        Return None, with ``document`` as it was, where a step ended otherwise: then it is run as any other.
        """
        entity = entrant.entity or {}
        ended = {**document, "actions_executed": []}
        inserts: list[Insert] = []
        following: Job | None = job
        while following is not None:
            workflow = entrant.workflow
            attempt = Attempt(following, following, workflow, workflow.steps[following.step], 0, now)
            try:
                outcome = await attempt.step.action.run(context_of(attempt, entity, now, self._services))
            except Exception:
                return None  # the executor runs it again, and reports
            if not isinstance(outcome, (Done, Skip)):
                return None
            unit = finish(following, outcome, epoch=0, began_at=now, now=now, time_scale=1.0)
            ended |= unit.update["$set"]
            ended["actions_executed"].append(unit.record)
            inserts += unit.inserts
            following = unit.following
        ended.pop("due_at", None)
        document.clear()
        document |= ended
        return tuple(inserts)


def _only_inserts(workflow: Workflow) -> bool:
    return all(
        not step.delay and step.conditions is None and step.action.reach is Reach.INSIDE and step.action.only_inserts
        for step in workflow.steps
    )
