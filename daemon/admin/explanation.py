"""Why a workflow did or did not run for an entity, in words an admin understands.

It puts together what is stored (executions, decisions, enrollments, switches) and how the conditions stand now. What
happened at a past moment is told from what was recorded then, never guessed from the entity as it is today.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from bson.son import SON
from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.admin.entity import EntityAdmin
from daemon.admin.problem import Conflict
from daemon.admin.workflow import WorkflowAdmin
from rules.condition import Condition, Subject
from rules.conditions import Group
from rules.explain import shown
from rules.path import MISSING
from rules.trigger import Trigger, TriggerType
from rules.workflow import Status, Workflow

_RECENT: Final = 10
_NEAR: Final = timedelta(seconds=2)  # around the moment that was asked about
_NOT_RUNNING: Final = {
    Status.PAUSED: "it is paused: nothing new starts, and what waits is held",
    Status.DRAINING: "it is draining: nothing new starts",
    Status.STOPPED: "it is stopped",
}

Document = dict[str, Any]


class Explainer:
    """Explains. Reads only."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        names: Collections,
        workflows: WorkflowAdmin,
        entities: EntityAdmin,
        now: Callable[[], datetime],
        *,
        max_runs_per_hour: int,
    ) -> None:
        self._executions = database[names.executions]
        self._decisions = database[names.decisions]
        self._enrollments = database[names.enrollments]
        self._workflows = workflows
        self._entities = entities
        self._now = now
        self._max_runs_per_hour = max_runs_per_hour

    async def explain(
        self, workflow_id: str, entity_id: str, entity_type: str | None = None, at: datetime | None = None
    ) -> Document:
        """Return ``{would_run, summary, checks, conditions, executions, decisions}``.

        ``at``: a past moment; then executions and decisions are those of that moment. ``would_run`` speaks of now.
        Raise NotFound, WorkflowError for an invalid document, or Conflict.
        """
        workflow, status = await self._workflows.compiled(workflow_id)
        kind = entity_type or workflow.trigger.entity_type
        if kind is None:
            raise Conflict("entity_type: expected the type of the entity, because the workflow is open to all")
        entity = await self._entities.find(kind, entity_id)
        now = self._now()
        conditions = [_stand(leaf, Subject(entity, now)) for leaf in _leaves(workflow.conditions.root)]
        verdict = workflow.conditions.judge(Subject(entity, now))
        checks = [
            _check("trigger", _is_for(workflow.trigger, kind), _trigger_words(workflow.trigger, kind)),
            _check("status", status is Status.ACTIVE, _NOT_RUNNING.get(status, "it is active")),
            _check("conditions", verdict, _condition_words(verdict, conditions)),
            await self._enrollment(workflow, kind, entity, now),
            await self._throttle(workflow, kind, entity, now),
        ]
        executions = await self._runs(workflow.id, kind, entity["_id"], at)
        decisions = await self._refusals(workflow.id, kind, entity["_id"], at)
        return {
            "workflow": {"id": workflow.id, "name": workflow.name},
            "entity": {"type": kind, "id": entity["_id"]},
            "would_run": all(check["passed"] is not False for check in checks),
            "summary": _summary(workflow, checks, executions, decisions),
            "checks": checks,
            "conditions": conditions,
            "executions": executions,
            "decisions": decisions,
        }

    async def _enrollment(self, workflow: Workflow, kind: str, entity: Document, now: datetime) -> Document:
        key = workflow.enrollment.key(entity)
        if key is None:
            return _check("enrollment", True, "an entity may enter any number of times")
        enrollment_id: SON[str, Any] = SON(workflow_id=workflow.id, entity_type=kind, entity_id=entity["_id"], key=key)
        stored = await self._enrollments.find_one({"_id": enrollment_id})
        reason = workflow.enrollment.refusal(stored, None, now)
        if stored is None or reason is None:
            return _check("enrollment", True, "it may enter")
        return _check("enrollment", False, f"{reason}: it entered at {stored.get('at')}")

    async def _throttle(self, workflow: Workflow, kind: str, entity: Document, now: datetime) -> Document:
        wanted = {
            "triggered_by_entity_id": entity["_id"],
            "workflow_id": workflow.id,
            "triggered_at": {"$gt": now - timedelta(hours=1)},
            "triggered_by_entity_type": kind,
        }
        runs = await self._executions.count_documents(wanted, limit=self._max_runs_per_hour)
        is_over = workflow.trigger.type is TriggerType.FIELD_UPDATED and runs >= self._max_runs_per_hour
        return _check(
            "throttle", not is_over, f"{runs} runs within the last hour, of {self._max_runs_per_hour} allowed"
        )

    async def _runs(self, workflow_id: Any, kind: str, entity_id: Any, at: datetime | None) -> list[Document]:
        wanted: Document = {"triggered_by_entity_id": entity_id, "workflow_id": workflow_id}
        if at is not None:
            wanted["triggered_at"] = {"$gte": at - _NEAR, "$lte": at + _NEAR}
        fields = {"status": 1, "reason": 1, "triggered_at": 1, "triggered_by_entity_type": 1}
        found = await self._executions.find(wanted, fields).sort("triggered_at", -1).limit(_RECENT).to_list()
        return [
            {
                "id": run["_id"],
                "status": run["status"],
                "triggered_at": run["triggered_at"],
                "reason": run.get("reason"),
            }
            for run in found
            if run["triggered_by_entity_type"] == kind
        ]

    async def _refusals(self, workflow_id: Any, kind: str, entity_id: Any, at: datetime | None) -> list[Document]:
        wanted: Document = {"entity_id": entity_id, "entity_type": kind, "entries.workflow_id": workflow_id}
        if at is not None:
            wanted["at"] = {"$gte": at - _NEAR, "$lte": at + _NEAR}
        found = await self._decisions.find(wanted).sort("at", -1).limit(_RECENT).to_list()
        return [
            {"at": decision["at"], "change": decision.get("change"), **entry}
            for decision in found
            for entry in decision["entries"]
            if entry.get("workflow_id") == workflow_id
        ]


def _check(name: str, passed: bool | None, says: str) -> Document:
    return {"check": name, "passed": passed, "says": says}


def _leaves(group: Group) -> Iterator[Condition]:
    for member in group.members:
        if isinstance(member, Group):
            yield from _leaves(member)
        else:
            yield member


def _stand(leaf: Condition, subject: Subject) -> Document:
    """Return how one condition stands: ``met`` is None where only a change can tell; no ``actual`` means missing."""
    actual = leaf.actual(subject)
    stand = {
        "path": leaf.path,
        "field": leaf.field,
        "operator": leaf.operator,
        "expected": shown(leaf.expected),
        "met": leaf.judge(subject),
    }
    return stand if actual is MISSING else {**stand, "actual": shown(actual)}


def _is_for(trigger: Trigger, kind: str) -> bool:
    return trigger.entity_type in (None, kind)


def _trigger_words(trigger: Trigger, kind: str) -> str:
    if not _is_for(trigger, kind):
        return f"it is for entities of type {trigger.entity_type}, not {kind}"
    fields = ", ".join(trigger.fields) or "any field"
    return {
        TriggerType.ENTITY_CREATED: f"it starts when a {kind} is created, once; later changes do not start it",
        TriggerType.FIELD_UPDATED: f"it starts when {fields} of a {kind} changes; being created is no change",
        TriggerType.ENTITY_DELETED: f"it starts when a {kind} is deleted",
        TriggerType.SCHEDULED: f"it starts by the clock, for every {kind} that meets the conditions",
        TriggerType.MANUAL: "it starts by hand only",
    }[trigger.type]


def _condition_words(verdict: bool | None, conditions: list[Document]) -> str:
    if verdict is True:
        return "all are met by the entity as it is now" if conditions else "there are none"
    if verdict is None:
        return "some ask what changed: only a change can tell"
    missed = [stand for stand in conditions if stand["met"] is False]
    parts = [
        f"{stand['field']} {stand['operator']} {stand['expected']!r}, found {stand.get('actual', 'nothing')!r}"
        for stand in missed[:3]
    ]
    return f"not met: {'; '.join(parts) or 'as a whole'}"


def _summary(workflow: Workflow, checks: list[Document], executions: list[Document], decisions: list[Document]) -> str:
    """Return the answer in a sentence: what happened last, else what stands in the way."""
    stories = [("ran", run["triggered_at"], run["status"]) for run in executions[:1]]
    stories += [("did not run", each["at"], each["reason"]) for each in decisions[:1]]
    past = ""
    if stories:
        what, when, how = max(stories, key=lambda story: story[1])
        past = f"'{workflow.name}' {what} for it at {when:%Y-%m-%d %H:%M:%S} UTC ({how}). "
    blocking = [check for check in checks if check["passed"] is False]
    if blocking:
        return f"{past}Now it would not run: {blocking[0]['says']}."
    return f"{past}Nothing stands in its way now: {checks[0]['says']}."
