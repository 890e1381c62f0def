"""Fire scheduled workflows on the replica that reads the stream.

A schedule's position starts when the workflow is installed, activated or edited. A run missed in downtime fires once
within the grace; later it is recorded as missed. Fire times are computed in UTC by the server's clock.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.error import LeaseLost
from config.settings import Collections
from daemon.beat import is_set_within
from daemon.clock import ServerClock
from daemon.event import Event
from daemon.mongo.failure import is_transient, may_pass
from daemon.mongo.refusal import refusal_text
from daemon.schedule.sweep import Progress, Sweep, progress_from, schedule_id
from daemon.service import Background
from daemon.stream.workflow_index import WorkflowIndex
from daemon.telemetry import emit
from rules.identity import bson_bytes, change_id
from rules.schedule import Schedule
from rules.workflow import Status, Workflow

_LONGEST_S: Final = 30.0
_BACK_OFF_S: Final = 1.0


@dataclass(slots=True)
class _Entry:
    """One schedule: the version it belongs to, the last fire time handled, and a sweep that was cut off."""

    version: int
    position: datetime
    unfinished: Progress | None = None


class Scheduler:
    """Fires the scheduled workflows of the index while this replica is the reader."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        index: WorkflowIndex,
        sweep: Sweep,
        clock: ServerClock,
        *,
        grace: timedelta,
        is_reader: Callable[[], bool],
        on_death: Callable[[str], None],
    ) -> None:
        """``grace``: for how long a missed run is still made up for."""
        self._state = database[names.state]
        self._decisions = database[names.decisions]
        self._index = index
        self._sweep = sweep
        self._clock = clock
        self._grace = grace
        self._is_reader = is_reader
        self._entries: dict[bytes, _Entry] = {}
        self._must_load = True
        self._nudge = asyncio.Event()
        self._task = Background("scheduler", self._run, on_death)

    async def start(self) -> None:
        """Fire from now on."""
        self._task.start()

    async def stop(self) -> None:
        """Stop; a sweep in progress goes on where it was, at the next reader."""
        await self._task.stop()

    def reload(self) -> None:
        """Read the positions again: this replica has become the reader, or lost its place."""
        self._must_load = True
        self._nudge.set()

    def nudge(self) -> None:
        """Look again: a workflow was edited or switched."""
        self._nudge.set()

    async def _run(self) -> None:
        while True:
            pause = _LONGEST_S
            try:
                if self._is_reader():
                    if self._must_load:
                        await self._load()
                    pause = await self._fire_due()
            except LeaseLost:
                self._must_load = True
            except PyMongoError as error:
                if not may_pass(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="schedule", error=error)
                self._must_load = True
                pause = _BACK_OFF_S
            await is_set_within(self._nudge, max(pause, 0.001))
            self._nudge.clear()

    async def _load(self) -> None:
        self._must_load = False
        entries: dict[bytes, _Entry] = {}
        async for stored in self._state.find({"kind": "schedule"}):
            entry = _entry_from(stored)
            if entry is not None:
                entries[bson_bytes(stored["workflow_id"])] = entry
        self._entries = entries

    async def _fire_due(self) -> float:
        """Fire what is due; return the seconds until something else will be."""
        next_at: datetime | None = None
        for head in list(self._index):
            workflow = head.workflow
            if workflow is None or workflow.trigger.schedule is None or head.is_deleted:
                continue
            if head.status is not Status.ACTIVE:
                self._entries.pop(bson_bytes(workflow.id), None)
                continue
            at = await self._attend(workflow, workflow.trigger.schedule, head.since)
            next_at = at if next_at is None else min(next_at, at)
        if next_at is None:
            return _LONGEST_S
        return min(self._clock.monotonic_at(next_at) - time.monotonic(), _LONGEST_S)

    async def _attend(self, workflow: Workflow, schedule: Schedule, since: datetime | None) -> datetime:
        """Fire one schedule if it is due; return when it is due next. ``since``: when it was last edited."""
        entry = self._entries.get(bson_bytes(workflow.id))
        if entry is None or entry.version != workflow.version:
            entry = await self._begin(workflow, since)
        if entry.unfinished is not None:
            await self._run_sweep(workflow, entry, entry.unfinished)
        now = self._clock.now()
        due_at = schedule.latest_between(entry.position, now)
        if due_at is not None and now - due_at > self._grace:
            await self._miss(workflow, entry, due_at)
        elif due_at is not None:
            emit(Event.SCHEDULE_FIRED, workflow_id=workflow.id, fire_at=due_at)
            await self._run_sweep(workflow, entry, Progress(due_at))
        return schedule.next_after(entry.position)

    async def _begin(self, workflow: Workflow, since: datetime | None) -> _Entry:
        """Start a schedule's position where its workflow was installed, activated or edited."""
        now = self._clock.now()
        entry = _Entry(workflow.version, now if since is None else min(since, now))
        await self._state.update_one(
            {"_id": schedule_id(workflow.id)},
            {
                "$set": {
                    "kind": "schedule",
                    "workflow_id": workflow.id,
                    "version": workflow.version,
                    "position": entry.position,
                },
                "$unset": {"sweep": ""},
            },
            upsert=True,
        )
        self._entries[bson_bytes(workflow.id)] = entry
        return entry

    async def _run_sweep(self, workflow: Workflow, entry: _Entry, progress: Progress) -> None:
        entry.unfinished = progress
        try:
            is_done = await self._sweep.run(workflow, progress)
        except PyMongoError as error:
            if is_transient(error):
                raise
            is_done = False
            await self._give_up(workflow, progress, error)
        entry.unfinished = None
        entry.position = progress.fire_at
        if is_done:
            emit(
                Event.SCHEDULE_SWEEP_DONE,
                workflow_id=workflow.id,
                fire_at=progress.fire_at,
                matched=progress.matched,
                enqueued=progress.enqueued,
            )

    async def _give_up(self, workflow: Workflow, progress: Progress, error: PyMongoError) -> None:
        """Record a sweep that the database refuses: it must not stop the schedules of others (promise 8)."""
        entity_type = workflow.trigger.entity_type
        emit(Event.INTAKE_ERROR, entity_type=entity_type, entity_id=None, workflow_id=workflow.id, error=error)
        detail = {"matched": progress.matched, "enqueued": progress.enqueued, "error": refusal_text(error)}
        await self._record("sweep_failed", workflow, progress.fire_at, detail)
        await self._state.update_one(
            {"_id": schedule_id(workflow.id)}, {"$set": {"position": progress.fire_at}, "$unset": {"sweep": ""}}
        )

    async def _miss(self, workflow: Workflow, entry: _Entry, due_at: datetime) -> None:
        """Record a run that was missed too long ago to be made up for."""
        emit(Event.SCHEDULE_MISSED, workflow_id=workflow.id, fire_at=due_at)
        await self._record("missed", workflow, due_at, {})
        await self._state.update_one({"_id": schedule_id(workflow.id)}, {"$set": {"position": due_at}})
        entry.position = due_at

    async def _record(self, kind: str, workflow: Workflow, fire_at: datetime, detail: Mapping[str, Any]) -> None:
        """Store why a run did not take place, or not to its end."""
        document = {
            "kind": kind,
            "workflow_id": workflow.id,
            "workflow_name": workflow.name,
            "entity_type": workflow.trigger.entity_type,
            "at": self._clock.now(),
            "fire_at": fire_at,
            **detail,
        }
        decision_id = change_id(int(fire_at.timestamp()), kind, workflow.id, fire_at)
        await self._decisions.update_one({"_id": decision_id}, {"$set": document}, upsert=True)


def _entry_from(stored: Mapping[str, Any]) -> _Entry | None:
    """Return a stored schedule, None if it is not what the daemon wrote: then it starts again."""
    version, position, sweep = stored.get("version"), stored.get("position"), stored.get("sweep")
    if "workflow_id" not in stored or not isinstance(version, int) or not isinstance(position, datetime):
        return None
    return _Entry(version, position, progress_from(sweep) if sweep is not None else None)
