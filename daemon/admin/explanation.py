"""Explain to an admin why a workflow did or did not run for an entity.

The explanation combines the stored executions, decisions and enrollments with the present state. For a past moment it
uses the state at that moment (``daemon.admin.hindsight``), and never guesses from the entity as it is today.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bson.son import SON
from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from config.plain import timestamp
from daemon.admin.entity import EntityAdmin
from daemon.admin.hindsight import NEAR, Asked, Hindsight, Record
from daemon.admin.identifier import exactly, readings
from daemon.admin.problem import Conflict
from daemon.admin.standing import NOT_RUNNING, check, clock, condition_words, is_for, stands, trigger_words
from daemon.admin.weight import SHOWN_BYTES, page_of, records_in
from daemon.admin.workflow import WorkflowAdmin, shown_name
from rules.budget import TooCostly
from rules.condition import Subject
from rules.trigger import TriggerType
from rules.value import is_equal
from rules.workflow import Workflow, WorkflowStatus

_RECENT: Final = 10
_OPEN_TO_ALL: Final = "entity_type: expected the type of the entity, because the workflow is open to all"

Document = dict[str, Any]


class Explainer:
    """Explains. Reads only."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        names: Collections,
        workflows: WorkflowAdmin,
        entities: EntityAdmin,
        hindsight: Hindsight,
        now: Callable[[], datetime],
        *,
        max_runs_per_hour: int,
    ) -> None:
        self._executions = database[names.executions]
        self._decisions = database[names.decisions]
        self._enrollments = database[names.enrollments]
        self._workflows = workflows
        self._entities = entities
        self._hindsight = hindsight
        self._now = now
        self._max_runs_per_hour = max_runs_per_hour

    async def explain(
        self, workflow_id: str, entity_id: str, entity_type: str | None = None, at: datetime | None = None
    ) -> Document:
        """Return ``{workflow, entity, at, would_run, summary, checks, conditions, executions, decisions}``.

        ``at``: a past moment; then the whole answer is about that moment, and ``would_run`` is None where unknown.
        Raise NotFound, WorkflowError for an invalid document, or Conflict.
        """
        if at is not None:
            return await self._explain_past(workflow_id, entity_id, entity_type, at)
        workflow, status = await self._workflows.compiled(workflow_id)
        kind = entity_type or workflow.trigger.entity_type
        if kind is None:
            raise Conflict(_OPEN_TO_ALL)
        entity = await self._entities.find(kind, entity_id)
        now = self._now()
        conditions = stands(workflow, Subject(entity, now))
        await asyncio.sleep(0)  # each judgement may take long
        told = condition_words(workflow, Subject(entity, now), "some ask what changed: only a change can tell")
        checks = [
            check("trigger", is_for(workflow.trigger, kind), trigger_words(workflow.trigger, kind)),
            check("status", status is WorkflowStatus.ACTIVE, f"it is {NOT_RUNNING.get(status, 'active')}"),
            check("conditions", *told),
            await self._enrollment(workflow, kind, entity, now),
            check("loop", None, "only a change can tell: the workflow does not start again by its own effects"),
            await self._throttle(workflow, kind, entity, now),
        ]
        record = await self._record(workflow.id, kind, [entity["_id"]], None)
        return {
            "workflow": {"id": workflow.id, "name": workflow.name},
            "entity": {"type": kind, "id": entity["_id"]},
            "at": None,
            "would_run": all(each["passed"] is not False for each in checks),
            "summary": _summary(workflow, checks, record),
            "checks": checks,
            "conditions": conditions,
            "executions": record.executions,
            "decisions": record.decisions,
        }

    async def _explain_past(self, workflow_id: str, entity_id: str, entity_type: str | None, at: datetime) -> Document:
        document = await self._workflows.show(workflow_id)
        kind = entity_type or await self._hindsight.entity_type(document["_id"], at) or _type_in(document)
        if kind is None:
            raise Conflict(_OPEN_TO_ALL)
        entity = await self._entities.look(kind, entity_id)
        ids = readings(entity_id) if entity is None else [entity["_id"]]
        record = await self._record(document["_id"], kind, ids, at)
        checks, conditions = await self._hindsight.look(Asked(document["_id"], kind, ids, entity, at), record)
        would_run = _verdict(checks, record)
        return {
            "workflow": {"id": document["_id"], "name": shown_name(document)},
            "entity": {"type": kind, "id": entity["_id"] if entity is not None else entity_id},
            "at": at,
            "would_run": would_run,
            "summary": _past_summary(shown_name(document), at, checks, record, would_run=would_run),
            "checks": checks,
            "conditions": conditions,
            "executions": record.executions,
            "decisions": record.decisions,
        }

    async def _enrollment(self, workflow: Workflow, kind: str, entity: Document, now: datetime) -> Document:
        try:
            keys = workflow.enrollment.keys(entity)
        except TooCostly as error:
            return check("enrollment", False, str(error))
        if not keys:
            return check("enrollment", True, "an entity may enter any number of times")
        ids: list[SON[str, Any]] = [
            SON(workflow_id=workflow.id, entity_type=kind, entity_id=entity["_id"], key=key) for key in keys
        ]
        stored = await self._enrollments.find_one({"_id": {"$in": ids}})
        reason = workflow.enrollment.refusal(stored, None, now)
        if stored is None or reason is None:
            return check("enrollment", True, "it may enter")
        return check("enrollment", False, f"{reason}: it entered at {clock(stored.get('at'))}")

    async def _throttle(self, workflow: Workflow, kind: str, entity: Document, now: datetime) -> Document:
        wanted = {
            "triggered_by_entity_id": entity["_id"],
            "workflow_id": workflow.id,
            "triggered_at": {"$gt": now - timedelta(hours=1)},
            "triggered_by_entity_type": kind,
        }
        runs = await self._executions.count_documents(wanted, limit=self._max_runs_per_hour)
        is_over = workflow.trigger.type is TriggerType.FIELD_UPDATED and runs >= self._max_runs_per_hour
        return check("throttle", not is_over, f"{runs} runs within the last hour, of {self._max_runs_per_hour} allowed")

    async def _record(self, workflow_id: Any, kind: str, ids: Sequence[Any], at: datetime | None) -> Record:
        executions = await self._runs(workflow_id, kind, ids, at)
        return Record(executions, await self._refusals(workflow_id, kind, ids, at))

    async def _runs(self, workflow_id: Any, kind: str, ids: Sequence[Any], at: datetime | None) -> list[Document]:
        """Return the executions, without those whose time or type a person has removed."""
        wanted: Document = {
            "triggered_by_entity_id": {"$in": ids},
            "workflow_id": exactly(workflow_id),
            "triggered_at": {"$type": "date"} if at is None else {"$gte": at - NEAR, "$lte": at + NEAR},
            "triggered_by_entity_type": kind,
        }
        names = ("status", "triggered_at", "reason", "cause", "postponed")
        found = (
            await self._executions.find(wanted, dict.fromkeys(names, 1))
            .sort([("triggered_at", -1), ("seq", -1)])
            .limit(_RECENT)
            .to_list()
        )
        return [{"id": run["_id"], **{name: run.get(name) for name in names}} for run in found]

    async def _refusals(self, workflow_id: Any, kind: str, ids: Sequence[Any], at: datetime | None) -> list[Document]:
        wanted: Document = {
            "entity_id": {"$in": ids},
            "entity_type": kind,
            "entries.workflow_id": exactly(workflow_id),
        }
        if at is not None:
            wanted["at"] = {"$gte": at - NEAR, "$lte": at + NEAR}
        newest: list[Document] = [{"$match": wanted}, {"$sort": {"at": -1}}]
        found, _ = await page_of(self._decisions, newest, _RECENT, SHOWN_BYTES)
        return [
            {"at": decision["at"], "change": decision.get("change"), **entry}
            for decision in found
            if isinstance(decision.get("at"), datetime)
            for entry in records_in(decision.get("entries"))
            if is_equal(entry.get("workflow_id"), workflow_id)
        ]


def _type_in(document: Mapping[str, Any]) -> str | None:
    trigger = document.get("trigger")
    found = trigger.get("entity_type") if isinstance(trigger, Mapping) else None
    return found if isinstance(found, str) else None


def _verdict(checks: Sequence[Document], record: Record) -> bool | None:
    """Return whether it ran, or would have; None where that is not known."""
    passed = [each["passed"] for each in checks]
    if record.executions or record.decisions:
        return bool(record.executions)
    return False if False in passed else None if None in passed else True


def _story(name: str, record: Record) -> str:
    """Return the last run or refusal in a sentence; an empty text where none is stored."""
    stories = [("ran", run["triggered_at"], run.get("status")) for run in record.executions[:1]]
    stories += [("did not run", each["at"], each.get("reason")) for each in record.decisions[:1]]
    if not stories:
        return ""
    what, when, how = max(stories, key=lambda story: story[1])
    return f"'{name}' {what} for it at {when:%Y-%m-%d %H:%M:%S} UTC ({how}). "


def _summary(workflow: Workflow, checks: Sequence[Document], record: Record) -> str:
    """Return the answer in a sentence: the last run or refusal, and the first check that fails now."""
    story = _story(workflow.name, record)
    blocking = [each for each in checks if each["passed"] is False]
    if blocking:
        return f"{story}Now it would not run: {blocking[0]['says']}."
    return f"{story}Nothing stands in its way now: {checks[0]['says']}."


def _past_summary(
    name: str, at: datetime, checks: Sequence[Document], record: Record, *, would_run: bool | None
) -> str:
    """Return the answer in a sentence: the record of that moment, else the first check that failed or is unknown."""
    said = {each["passed"]: each["says"] for each in reversed(checks)}
    because = f"It would not run: {said[False]}." if False in said else ""
    if story := _story(name, record):
        return f"{story}{because if not would_run else ''}".strip()
    nothing = f"Nothing is stored of '{name}' for it at {timestamp(at)}."
    if would_run is None:
        return f"{nothing} Whether it should have run is not known: {said[None]}."
    return f"{nothing} {because or 'Judged again, it should have run.'}"
