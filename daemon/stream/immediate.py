"""End executions at intake, in the transaction of their change.

Where every step is immediate, has no conditions and does nothing but insert documents, a second transaction would
only cost time: the execution is stored as ended, together with what it inserted, exactly once by construction. Only
for entities that were just created: nothing else can be due for them, so nothing is overtaken (promise 3).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from actions.action import Reach
from actions.outcome import Done, Insert, Skip
from actions.services import Services
from daemon.executions.attempt import Attempt, context_of
from daemon.executions.job import Job
from daemon.executions.machine import advance
from daemon.executions.unit import following_job
from daemon.executions.update import update_of
from daemon.stream.entrant import Entrant
from rules.program import Act
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
        program, entity = entrant.workflow.program, entrant.entity or {}
        records: list[Mapping[str, Any]] = []
        inserts: list[Insert] = []
        while True:
            node = program.nodes[job.node]
            if not isinstance(node, Act):
                return None
            attempt = Attempt(job, job, entrant.workflow, node.step, 0, now)
            try:
                outcome = await node.step.action.run(context_of(attempt, entity, now, self._services))
            except Exception:
                return None  # the executor runs it again, and reports
            if not isinstance(outcome, (Done, Skip)):
                return None
            if isinstance(outcome, Done):
                inserts += (write for write in outcome.writes if isinstance(write, Insert))
            move = advance(program, job, outcome, now, began_at=now)
            records += (record.document for record in move.records)
            if move.ended is not None:
                break
            job = following_job(job, move, now)
        document |= {**update_of(program, job, move)["$set"], "actions_executed": records, "started_at": now}
        del document["due_at"]
        return tuple(inserts)


def _only_inserts(workflow: Workflow) -> bool:
    return workflow.program.is_linear and all(
        not step.delay and step.conditions is None and step.action.reach is Reach.INSIDE and step.action.only_inserts
        for step in workflow.program.steps
    )
