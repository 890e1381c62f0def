"""Find out how often a workflow would have fired over the last days, and for whom. Reads only.

A backtest is long work on the event loop: it runs in slices, one backtest at a time, for as long as the caller allows.

For creations it judges the entities that exist, as they are now; for changes and deletions the change history, as far
back as the server still has it; for schedules the entities, at every fire time.
"""

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.collection_names import Collections
from daemon.admin.change_history import ChangeHistory
from daemon.admin.problem import Busy, Conflict, Malformed
from daemon.admin.slices import Slices
from daemon.admin.workflow import WorkflowAdmin
from daemon.mongo.codec import RAW_CODEC
from daemon.mongo.failure import HISTORY_LOST_CODES
from daemon.mongo.heavy import opened
from daemon.schedule.page import SIMPLE
from rules.budget import TooCostly
from rules.change import Change
from rules.condition import Subject
from rules.explain import Reason, Refusal
from rules.identity import bson_bytes
from rules.judgement import judge
from rules.query import to_filter
from rules.trigger import TriggerType
from rules.workflow import Workflow, WorkflowStatus

LONGEST_DAYS: Final = 90.0
_MOST_EXAMINED: Final = 200_000
_MOST_FIRES: Final = 200
_SHOWN: Final = 100
_SHORTEST: Final = timedelta(minutes=1)
_BATCH: Final = 200  # entities fetched at once

Document = dict[str, Any]
Progress = Callable[[float], None]


@dataclass(slots=True)
class Tally:
    """The results so far."""

    workflow: Workflow
    until: float  # of the monotonic clock
    examined: int = 0
    fired: int = 0
    shown: list[Document] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    entered: dict[bytes, Document] = field(default_factory=dict)

    def is_full(self) -> bool:
        """Return whether the limit of entities or of time is reached."""
        return self.examined >= _MOST_EXAMINED or time.monotonic() >= self.until

    def is_met(self, subject: Subject) -> bool | None:
        """Return whether an entity meets the conditions; count it and return None where judging is too costly."""
        try:
            return self.workflow.conditions.judge(subject) is True
        except TooCostly:
            self.refused[Reason.TOO_COSTLY] += 1
            return None

    def fire(self, entity_id: Any, entity: Mapping[str, Any] | None, at: datetime) -> None:
        """Count an entity that met trigger and conditions, unless the enrollment refuses it."""
        enrollment = self.workflow.enrollment
        try:
            key = enrollment.key(entity)
        except TooCostly:
            self.refused[Reason.TOO_COSTLY] += 1
            return
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
        history: ChangeHistory,
        now: Callable[[], datetime],
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._executions = database[names.executions]
        self._entities = entities
        self._workflows = workflows
        self._history = history
        self._now = now
        self._is_busy = False

    async def run(
        self,
        workflow_id: str,
        days: float,
        on_progress: Progress = lambda done: None,
        *,
        longest_s: float = math.inf,
    ) -> Document:
        """Return ``{since, until, basis, examined, would_fire, entities, refused, ran, is_complete}``.

        ``entities`` are the first hundred. ``on_progress`` is told how much is done, from 0 to 1. After ``longest_s``
        seconds the answer has the results so far. Raise NotFound, WorkflowError, Conflict for a workflow
        that only people start, or Busy while another backtest is at work.
        """
        if not 0 < days <= LONGEST_DAYS:
            raise Malformed("days", f"expected more than 0 and at most {LONGEST_DAYS:g} days")
        if self._is_busy:
            raise Busy("another backtest is at work: they run one at a time", retry_after_s=10)
        self._is_busy = True
        try:
            workflow, _ = await self._workflows.compiled(workflow_id)
            return await self._run(Tally(workflow, time.monotonic() + longest_s), days, on_progress)
        finally:
            self._is_busy = False

    async def _run(self, tally: Tally, days: float, on_progress: Progress) -> Document:
        workflow, until = tally.workflow, self._now()
        since = until - timedelta(days=days)
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
        async for entity in _each(_raw(collection).find(made).limit(_MOST_EXAMINED)):
            if tally.is_full():
                break
            tally.examined += 1
            on_progress(tally.examined / total)
            entity_id = entity["_id"]
            made_at = entity_id.generation_time if isinstance(entity_id, ObjectId) else _made_at(entity, until)
            is_met = tally.is_met(Subject(entity, until))
            if is_met:
                tally.fire(entity_id, entity, made_at)
            elif is_met is False:
                tally.refused[Reason.CONDITION] += 1

    async def _schedule(self, tally: Tally, since: datetime, until: datetime, on_progress: Progress) -> None:
        schedule = tally.workflow.trigger.schedule
        assert schedule is not None
        collection = self._database[self._entities[tally.workflow.trigger.entity_type or ""]]
        fire_at, count = schedule.next_after(since), 0
        while fire_at <= until and count < _MOST_FIRES and not tally.is_full():
            count += 1
            on_progress((fire_at - since) / (until - since))
            wanted = to_filter(tally.workflow.conditions, fire_at)
            async for entity in _each(_raw(collection).find(wanted).collation(SIMPLE).sort("_id", 1)):
                tally.examined += 1
                if tally.is_met(Subject(entity, fire_at)):
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
                        await _take(tally, changes)
                        on_progress(min((reached - (until - span).timestamp()) / span.total_seconds(), 1.0))
                        if tally.is_full():
                            break
                return until - span
            except OperationFailure as error:
                if error.code not in HISTORY_LOST_CODES or span < _SHORTEST:
                    raise
                span /= 2


def _raw(collection: AsyncCollection[Any]) -> AsyncCollection[RawBSONDocument]:
    return collection.with_options(codec_options=RAW_CODEC)


async def _each(found: AsyncCursor[RawBSONDocument]) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the documents of a query, each decoded when its turn comes."""
    slices = Slices()
    async with found.batch_size(_BATCH) as cursor:
        async for each in cursor:
            yield opened(each.raw)
            await slices.go_on()


def _made_at(entity: Mapping[str, Any], until: datetime) -> datetime:
    """Return when an entity says it was made; of a list of times the server found one within the days."""
    try:
        made_at = entity.get("created_at")
    except TooCostly:  # behind too many other fields
        return until
    return made_at if isinstance(made_at, datetime) else until


async def _take(tally: Tally, changes: Sequence[Change]) -> None:
    slices = Slices()
    for change in changes:
        tally.examined += 1
        verdict = judge(tally.workflow, WorkflowStatus.ACTIVE, change, max_depth=1, explains=False)
        if verdict is None:
            tally.fire(change.entity_id, change.entity, change.at)
        elif isinstance(verdict, Refusal):
            tally.refused[str(verdict.reason)] += 1
        await slices.go_on()
