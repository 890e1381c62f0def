"""What a workflow would have done over the last days: how often it would have fired, and for whom. Reads only.

Creations are told from the entities that exist, judged as they are now; changes and deletions from the change
history, as far back as the server still has it; schedules from the entities, at every time it would have fired.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.collection_names import Collections
from daemon.admin.history import History
from daemon.admin.problem import Conflict, Malformed
from daemon.admin.workflow import WorkflowAdmin
from daemon.mongo.failure import HISTORY_LOST_CODES
from rules.change import Change
from rules.condition import Subject
from rules.explain import Reason, Refusal
from rules.identity import bson_bytes
from rules.judgement import judge
from rules.query import to_filter
from rules.trigger import TriggerType
from rules.workflow import Status, Workflow

LONGEST_DAYS: Final = 90.0
_MOST_EXAMINED: Final = 200_000
_MOST_FIRES: Final = 200
_SHOWN: Final = 100
_SHORTEST: Final = timedelta(minutes=1)

Document = dict[str, Any]
Progress = Callable[[float], None]


@dataclass(slots=True)
class Tally:
    """What was found so far."""

    workflow: Workflow
    examined: int = 0
    fired: int = 0
    shown: list[Document] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    entered: dict[bytes, Document] = field(default_factory=dict)

    def is_full(self) -> bool:
        """Return whether enough was looked at."""
        return self.examined >= _MOST_EXAMINED

    def fire(self, entity_id: Any, entity: Mapping[str, Any] | None, at: datetime) -> None:
        """Count one that met trigger and conditions, unless its enrollment keeps it out."""
        enrollment = self.workflow.enrollment
        key = enrollment.key(entity)
        if key is not None:
            place = bson_bytes([entity_id, key])
            reason = enrollment.refusal(self.entered.get(place), None, at)
            if reason is not None:
                self.refused[reason] += 1
                return
            self.entered[place] = {"execution_id": ObjectId(), "at": at}
        self.fired += 1
        if len(self.shown) < _SHOWN:
            self.shown.append({"entity_id": entity_id, "at": at})


class Backtester:
    """Plays the past against a workflow."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        names: Collections,
        entities: Mapping[str, str],
        workflows: WorkflowAdmin,
        history: History,
        now: Callable[[], datetime],
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._executions = database[names.executions]
        self._entities = entities
        self._workflows = workflows
        self._history = history
        self._now = now

    async def run(self, workflow_id: str, days: float, on_progress: Progress = lambda done: None) -> Document:
        """Return ``{since, until, basis, examined, would_fire, entities, refused, ran, is_complete}``.

        ``entities`` are the first hundred. ``on_progress`` is told how much is done, from 0 to 1. Raise NotFound,
        WorkflowError, or Conflict for a workflow that only people start.
        """
        if not 0 < days <= LONGEST_DAYS:
            raise Malformed("days", f"expected more than 0 and at most {LONGEST_DAYS:g} days")
        workflow, _ = await self._workflows.compiled(workflow_id)
        until = self._now()
        since = until - timedelta(days=days)
        tally = Tally(workflow)
        match workflow.trigger.type:
            case TriggerType.ENTITY_CREATED:
                basis = "entities that exist, judged as they are now"
                await self._creations(tally, since, until, on_progress)
            case TriggerType.SCHEDULED:
                basis = "entities that exist, judged as they are now at every fire time"
                await self._schedule(tally, since, until, on_progress)
            case TriggerType.MANUAL:
                raise Conflict("trigger.type: expected a trigger other than manual: only people start this one")
            case _:
                since = await self._replay(tally, since, until, on_progress)
                basis = "the change history that the server still has"
        wanted = {"workflow_id": workflow.id, "triggered_at": {"$gte": since, "$lte": until}}
        return {
            "workflow": {"id": workflow.id, "name": workflow.name},
            "since": since,
            "until": until,
            "basis": basis,
            "examined": tally.examined,
            "would_fire": tally.fired,
            "entities": tally.shown,
            "refused": dict(tally.refused),
            "ran": await self._executions.count_documents(wanted),
            "is_complete": not tally.is_full(),
        }

    async def _creations(self, tally: Tally, since: datetime, until: datetime, on_progress: Progress) -> None:
        collection = self._database[self._entities[tally.workflow.trigger.entity_type or ""]]
        made = {"$or": [{"_id": {"$gte": ObjectId.from_datetime(since)}}, {"created_at": {"$gte": since}}]}
        total = max(await collection.count_documents(made, limit=_MOST_EXAMINED), 1)
        async for entity in collection.find(made).limit(_MOST_EXAMINED):
            tally.examined += 1
            on_progress(tally.examined / total)
            entity_id = entity["_id"]
            made_at = entity_id.generation_time if isinstance(entity_id, ObjectId) else entity["created_at"]
            if tally.workflow.conditions.judge(Subject(entity, until)) is True:
                tally.fire(entity_id, entity, made_at)
            else:
                tally.refused[Reason.CONDITION] += 1

    async def _schedule(self, tally: Tally, since: datetime, until: datetime, on_progress: Progress) -> None:
        schedule = tally.workflow.trigger.schedule
        assert schedule is not None
        collection = self._database[self._entities[tally.workflow.trigger.entity_type or ""]]
        fire_at, count = schedule.next_after(since), 0
        while fire_at <= until and count < _MOST_FIRES and not tally.is_full():
            count += 1
            on_progress((fire_at - since) / (until - since))
            async for entity in collection.find(to_filter(tally.workflow.conditions, fire_at)).sort("_id", 1):
                tally.examined += 1
                if tally.workflow.conditions.judge(Subject(entity, fire_at)) is True:
                    tally.fire(entity["_id"], entity, fire_at)
                if tally.is_full():
                    break
            fire_at = schedule.next_after(fire_at)

    async def _replay(self, tally: Tally, since: datetime, until: datetime, on_progress: Progress) -> datetime:
        """Replay the changes of the workflow's entities; return since when the server has them."""
        entity_type = tally.workflow.trigger.entity_type or ""
        span = until - since
        while True:
            try:
                async with aclosing(self._history.changes(entity_type, until - span, until)) as batches:
                    async for changes, reached in batches:
                        _take(tally, changes)
                        on_progress(min((reached - (until - span).timestamp()) / span.total_seconds(), 1.0))
                        if tally.is_full():
                            break
                return until - span
            except OperationFailure as error:
                if error.code not in HISTORY_LOST_CODES or span < _SHORTEST:
                    raise
                span /= 2


def _take(tally: Tally, changes: Sequence[Change]) -> None:
    for change in changes:
        tally.examined += 1
        verdict = judge(tally.workflow, Status.ACTIVE, change, max_depth=1)
        if verdict is None:
            tally.fire(change.entity_id, change.entity, change.at)
        elif isinstance(verdict, Refusal):
            tally.refused[str(verdict.reason)] += 1
