"""Run a workflow for one entity by hand, or play it dry: show its effects without making them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from actions.action import Reach
from actions.context import Context
from actions.outcome import Done, EntityUpdate, Insert, Outcome, Postpone, Skip
from actions.services import Services
from config.collection_names import Collections
from config.duration import duration_text
from config.error import PermanentActionError, TransientActionError
from daemon.admin.entity import EntityAdmin
from daemon.admin.problem import Conflict
from daemon.admin.workflow import WorkflowAdmin
from daemon.executions.occurrence import Judged
from daemon.executions.way import way_of
from rules.budget import TooCostly
from rules.condition import Subject
from rules.conditions import Conditions
from rules.explain import finding_document
from rules.program import Act, Branch, End
from rules.step import OnFailure, Step
from rules.workflow import Workflow

ANSWER_S: Final = 10.0  # how long the daemon gets to answer a request
_LOOK_S: Final = 0.05

Document = dict[str, Any]


class RunAdmin:
    """Asks the daemon for runs, and plays them dry."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        names: Collections,
        workflows: WorkflowAdmin,
        entities: EntityAdmin,
        services: Services,
        now: Callable[[], datetime],
    ) -> None:
        self._requests = database[names.requests]
        self._workflows = workflows
        self._entities = entities
        self._services = services
        self._now = now

    async def run(
        self, workflow_id: str, entity_id: str, entity_type: str | None = None, *, is_forced: bool = False
    ) -> Document:
        """Ask for a run and return ``{status, request_id, execution_id?}``.

        ``status`` is ``accepted``, or ``pending`` where no daemon answered in time: the request stays until one does.
        Raise Conflict with the reason where it is refused, NotFound where there is no such workflow.
        """
        workflow = await self._workflows.show(workflow_id)
        own = (
            (workflow.get("trigger") or {}).get("entity_type") if isinstance(workflow.get("trigger"), Mapping) else None
        )
        entity = await self._entities.find(self._type(entity_type, own), entity_id)
        request: Document = {"_id": ObjectId(), "workflow_id": workflow["_id"], "entity_id": entity["_id"]}
        if entity_type is not None:
            request["entity_type"] = entity_type
        if is_forced:
            request["force"] = True
        await self._requests.insert_one(request)
        answer = await self._answer(request["_id"])
        if answer is None:
            return {"status": "pending", "request_id": request["_id"]}
        if answer["status"] == "refused":
            raise Conflict(str(answer.get("reason")))
        return {"status": "accepted", "request_id": request["_id"], "execution_id": answer.get("execution_id")}

    async def dry_run(self, workflow_id: str, entity_id: str, entity_type: str | None = None) -> Document:
        """Return what the workflow would do for an entity as it is now; nothing is written or sent.

        ``{would_run, conditions: those not met, error?, steps: [{node, action_type, delay, would, …}]}``; an error
        where judging is too costly. The steps are those on the way that the entity takes; actions that reach outside
        are named, not run.
        """
        workflow, _ = await self._workflows.compiled(workflow_id)
        entity = await self._entities.find(self._type(entity_type, workflow.trigger.entity_type), entity_id)
        stand = _stand(workflow.conditions, Subject(entity, self._now()))
        own_type = entity_type or workflow.trigger.entity_type or ""
        return {**stand, "steps": [step async for step in self._steps(workflow, entity, own_type)]}

    async def _steps(self, workflow: Workflow, entity: Document, entity_type: str) -> AsyncIterator[Document]:
        """Yield what each node would do on the way that the entity takes as it is now."""
        nodes, at = workflow.program.nodes, workflow.program.first
        while (node := nodes.get(at)) is not None:
            at = node.following
            told: Document = {"node": node.id, "action_type": node.action_type, "delay": duration_text(node.delay)}
            match node:
                case Act():
                    yield {**told, **await self._play(workflow, node, entity, entity_type)}
                case End():
                    yield {**told, "would": "end", "reason": node.reason}
                    return
                case Branch():
                    way = way_of(node, entity, self._now())
                    if isinstance(way, Judged):
                        at = node.arms[way.arm]
                        yield {**told, "would": "take", **way.told(node)}
                    else:
                        yield {**told, **_ended(way)}
                        if node.on_failure is OnFailure.STOP:
                            return
            await asyncio.sleep(0)  # judging has a budget for each node

    async def _answer(self, request_id: ObjectId) -> Document | None:
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            found = await self._requests.find_one({"_id": request_id, "answered_at": {"$exists": True}})
            if found is not None:
                return found
            await asyncio.sleep(_LOOK_S)
        return None

    async def _play(self, workflow: Workflow, node: Act, entity: Document, entity_type: str) -> Document:
        step, now = node.step, self._now()
        stand = _stand(step.conditions, Subject(entity, now)) if step.conditions is not None else {"would_run": True}
        if "error" in stand:
            return {"would": "fail", "error": stand["error"]}
        if not stand["would_run"]:
            return {"would": "skip", "reason": "conditions_not_met", "conditions": stand["conditions"]}
        if step.action.reach is Reach.OUTSIDE:
            return {"would": "act outside", "parameters": step.action.model_dump(mode="json", by_alias=True)}
        trigger = {"type": "manual", "kind": "manual", "at": now}
        context = Context(
            entity,
            entity_type,
            entity["_id"],
            workflow.id,
            workflow.name,
            ObjectId(),
            node.id,
            1,
            now,
            now,
            trigger,
            self._services,
        )
        return await _outcome(step, context)

    def _type(self, named: str | None, own: Any) -> str:
        entity_type = named if named is not None else own
        if not isinstance(entity_type, str):
            raise Conflict("entity_type: expected the type of the entity, because the workflow is open to all")
        return entity_type


def _stand(conditions: Conditions, subject: Subject) -> Document:
    try:
        would_run = conditions.judge(subject) is True
    except TooCostly as error:
        return {"would_run": False, "conditions": [], "error": str(error)}
    return {"would_run": would_run, "conditions": list(map(finding_document, conditions.explain(subject)))}


async def _outcome(step: Step, context: Context) -> Document:
    try:
        outcome: Outcome = await step.action.run(context)
    except (TransientActionError, PermanentActionError) as error:
        return {"would": "fail", "error": str(error)}
    return _ended(outcome)


def _ended(outcome: Outcome) -> Document:
    match outcome:
        case Done():
            return {"would": "succeed", "result": dict(outcome.result), "writes": list(map(_shown, outcome.writes))}
        case Skip():
            return {"would": "skip", **outcome.told}
        case Postpone():
            return {"would": "wait", "until": outcome.until, "reason": outcome.reason}
        case _:
            return {"would": "fail", "error": outcome.error}


def _shown(write: Insert | EntityUpdate) -> Document:
    if isinstance(write, Insert):
        return {"insert": write.collection, "document": dict(write.document)}
    return {"set": dict(write.set), "unset": list(write.unset)}
