"""Fire scheduled workflows on the replica that reads the stream.

A schedule's position starts when the workflow is installed, activated or edited. A run missed in downtime fires once
within the grace; later it is recorded as missed. Fire times are computed in UTC by the server's clock, and kept: a
schedule is looked at when it is due or its workflow was edited, however many others there are.
"""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.error import LeaseLost
from config.settings import Collections
from daemon.clock import ServerClock
from daemon.event import Event
from daemon.mongo.failure import is_transient
from daemon.mongo.refusal import problem_of
from daemon.poll import Pause, Signal
from daemon.schedule.sweep import Progress, Sweep, progress_from, schedule_id
from daemon.telemetry import emit
from daemon.versions.workflow_index import WorkflowIndex
from rules.identity import bson_bytes, change_id
from rules.schedule import Schedule
from rules.version import Version
from rules.workflow import Workflow, WorkflowStatus

_LONGEST_S: Final = 30.0
ReadVersion = Callable[[Any, int], Awaitable[Workflow | None]]  # of a workflow id and a version's number; None: gone


@dataclass(slots=True)
class _Entry:
    """One schedule: the version it belongs to, the last fire time handled, and a sweep that was cut off.

    ``next_at``: when it is due, None while nobody has computed that.
    """

    workflow_id: Any
    version: int
    position: datetime
    unfinished: Progress | None = None
    next_at: datetime | None = None


class Scheduler:
    """Fires the scheduled workflows of the index."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        index: WorkflowIndex,
        sweep: Sweep,
        version: ReadVersion,
        clock: ServerClock,
        *,
        grace: timedelta,
        may_fire: Callable[[], bool],
    ) -> None:
        """``grace``: for how long a missed run is still made up for. ``version`` finds the version a sweep is of.

        ``may_fire`` tells whether schedules may fire now.
        """
        self._state = database[names.state]
        self._decisions = database[names.decisions]
        self._index = index
        self._sweep = sweep
        self._version = version
        self._clock = clock
        self._grace = grace
        self._may_fire = may_fire
        self._entries: dict[bytes, _Entry] = {}
        self._due: list[
            tuple[datetime, bytes]
        ] = []  # a heap; an entry is void if it is no longer its schedule's next_at
        self._edited: dict[bytes, Any] = {}  # the ids of workflows to look at
        self._must_load = True
        self.signal = Signal()  # something was edited, or the positions are to be read again

    def reload(self) -> None:
        """Read the positions again: this replica has become the reader, or has reached the present again."""
        self._must_load = True
        self.signal.send()

    def note(self, workflow_ids: Iterable[Any]) -> None:
        """Compute the schedules of workflows again: they were edited or switched."""
        self._edited |= {bson_bytes(workflow_id): workflow_id for workflow_id in workflow_ids}
        self.signal.send()

    async def poll(self) -> Pause:
        """Fire due schedules; raise the driver's error: then the next poll reads the positions again."""
        if not self._may_fire():
            return Pause(_LONGEST_S)
        try:
            if self._must_load:
                await self._load()
            await self._arrange_edited()
            return Pause(max(await self._fire_due(), 0.001))
        except LeaseLost:
            self._must_load = True
            return Pause(_LONGEST_S)
        except PyMongoError:
            self._must_load = True
            raise

    async def _load(self) -> None:
        self._must_load = False
        self._entries.clear()
        self._due.clear()
        async for stored in self._state.find({"kind": "schedule"}):
            entry = _entry_from(stored)
            if entry is not None:
                self._entries[bson_bytes(entry.workflow_id)] = entry
        self._edited = {key: entry.workflow_id for key, entry in self._entries.items() if entry.unfinished is not None}
        for version in self._index:
            if _schedule_of(version) is not None:
                self._edited[bson_bytes(version.workflow_id)] = version.workflow_id

    async def _arrange_edited(self) -> None:
        """Finish sweeps that were cut off, and compute due times of edited schedules, one in a turn of the loop."""
        while self._edited:
            key, workflow_id = next(iter(self._edited.items()))
            del self._edited[key]
            await self._arrange(key, workflow_id)
            await asyncio.sleep(0)

    async def _arrange(self, key: bytes, workflow_id: Any) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry.unfinished is not None:
            await self._finish(entry, entry.unfinished)
        version = self._index.get(workflow_id)
        schedule = _schedule_of(version)
        if (
            version is None
            or schedule is None
            or version.workflow is None
            or version.status is not WorkflowStatus.ACTIVE
        ):
            self._entries.pop(key, None)
            return
        if entry is None or entry.version != version.workflow.version:
            entry = await self._begin(version.workflow, version.since)
        self._put(key, entry, schedule)

    def _put(self, key: bytes, entry: _Entry, schedule: Schedule) -> None:
        entry.next_at = schedule.next_after(entry.position)
        heapq.heappush(self._due, (entry.next_at, key))

    async def _fire_due(self) -> float:
        """Fire due schedules; return the seconds until the next one is due."""
        while self._due and not self._edited:
            at, key = self._due[0]
            if at > self._clock.now():
                return min(self._clock.monotonic_at(at) - time.monotonic(), _LONGEST_S)
            heapq.heappop(self._due)
            entry = self._entries.get(key)
            if entry is not None and entry.next_at == at:
                await self._fire(key, entry)
                await asyncio.sleep(0)
        return 0.0 if self._edited else _LONGEST_S

    async def _fire(self, key: bytes, entry: _Entry) -> None:
        """Run one schedule that is due, or record that it was missed, and compute when it is due next."""
        version = self._index.get(entry.workflow_id)
        schedule, due_at = _schedule_of(version), entry.next_at
        if version is None or version.workflow is None or schedule is None or due_at is None:
            return
        if version.workflow.version != entry.version or version.status is not WorkflowStatus.ACTIVE:
            self._edited[key] = entry.workflow_id
            return
        now = self._clock.now()
        if schedule.next_after(due_at) <= now:
            due_at = schedule.latest_between(due_at, now) or due_at
        if now - due_at > self._grace:
            await self._miss(version.workflow, entry, due_at)
        else:
            emit(Event.SCHEDULE_FIRED, workflow_id=version.workflow_id, fire_at=due_at)
            await self._run_sweep(version.workflow, entry, Progress(due_at, entry.version, version.stopped_seq))
        self._put(key, entry, schedule)

    async def _begin(self, workflow: Workflow, since: datetime | None) -> _Entry:
        """Start a schedule's position where its workflow was installed, activated or edited."""
        now = self._clock.now()
        entry = _Entry(workflow.id, workflow.version, now if since is None else min(since, now))
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

    async def _finish(self, entry: _Entry, progress: Progress) -> None:
        """Go on with a sweep that a former reader began, by the version that it began with."""
        workflow = await self._version(entry.workflow_id, progress.version)
        if workflow is not None and workflow.trigger.entity_type is not None:
            await self._run_sweep(workflow, entry, progress)
            return
        version = self._index.get(entry.workflow_id)
        left = {"reason": "version_gone", "after": list(progress.after), "entities": None}
        name = version.workflow.name if version is not None and version.workflow is not None else ""
        detail = {"matched": progress.matched, "enqueued": progress.enqueued, "left_out": left}
        await self._record("sweep", entry.workflow_id, name, progress.fire_at, detail)
        await self._move(entry, progress.fire_at)

    async def _run_sweep(self, workflow: Workflow, entry: _Entry, progress: Progress) -> None:
        entry.unfinished = progress

        def note(moved: Progress) -> None:
            entry.unfinished = moved

        try:
            await self._sweep.run(workflow, progress, note)
        except LeaseLost:
            raise
        except Exception as error:  # no value of a document ends a service (promise 8)
            if is_transient(error):
                raise
            emit(
                Event.INTAKE_ERROR,
                entity_type=workflow.trigger.entity_type,
                entity_id=None,
                workflow_id=workflow.id,
                error=error,
            )
            await self._sweep.leave(workflow, entry.unfinished, "failed", problem_of(error))
        entry.unfinished = None
        entry.position = progress.fire_at

    async def _miss(self, workflow: Workflow, entry: _Entry, due_at: datetime) -> None:
        """Record a run that was missed for longer than the grace."""
        emit(Event.SCHEDULE_MISSED, workflow_id=workflow.id, fire_at=due_at)
        of_type = {"entity_type": workflow.trigger.entity_type}
        await self._record("missed", workflow.id, workflow.name, due_at, of_type)
        await self._move(entry, due_at)

    async def _move(self, entry: _Entry, position: datetime) -> None:
        await self._state.update_one(
            {"_id": schedule_id(entry.workflow_id)}, {"$set": {"position": position}, "$unset": {"sweep": ""}}
        )
        entry.position, entry.unfinished = position, None

    async def _record(
        self, kind: str, workflow_id: Any, name: str, fire_at: datetime, detail: Mapping[str, Any]
    ) -> None:
        """Store the reason for which a run did not take place, or did not end."""
        document = {
            "kind": kind,
            "workflow_id": workflow_id,
            "workflow_name": name,
            "at": self._clock.now(),
            "fire_at": fire_at,
            **detail,
        }
        decision_id = change_id(int(fire_at.timestamp()), kind, workflow_id, fire_at)
        await self._decisions.update_one({"_id": decision_id}, {"$set": document}, upsert=True)


def _schedule_of(version: Version | None) -> Schedule | None:
    """Return the schedule of a workflow that is there and has one."""
    if version is None or version.is_deleted or version.workflow is None:
        return None
    return version.workflow.trigger.schedule


def _entry_from(stored: Mapping[str, Any]) -> _Entry | None:
    """Return a stored schedule, None if it is not what the daemon wrote: then it starts again."""
    version, position, sweep = stored.get("version"), stored.get("position"), stored.get("sweep")
    if "workflow_id" not in stored or not isinstance(version, int) or not isinstance(position, datetime):
        return None
    unfinished = progress_from(sweep, version) if sweep is not None else None
    return _Entry(stored["workflow_id"], version, position, unfinished)
