"""Bring due executions from MongoDB into memory: a few seconds ahead, in order.

What the reader in this process commits is handed over directly; everything else (delays, retries, what admins and
other replicas queue, what did not fit) is found here by polling: seldom while the reader elsewhere is heard when it
commits something, else several times a second. A look is full (everything due, while little is in memory) or takes
only what has come within reach since the last one. Where it finds more than fits, it also looks beside the head of the
queue, so that one workflow's crowd does not keep the others waiting.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from daemon.beat import Beat, is_set_within
from daemon.clock import ServerClock
from daemon.event import Event
from daemon.executions.burial import Bury
from daemon.executions.fair_share import FairShare
from daemon.executions.hand_edit import NOT_EDITED
from daemon.executions.intervention import is_edited
from daemon.executions.job import PROJECTION, CorruptExecution, Job, job_from
from daemon.executions.lanes import AHEAD, Lanes
from daemon.executions.takeover import TakeOver
from daemon.executions.workflow_state import WorkflowStates
from daemon.mongo.failure import may_pass
from daemon.pace import AS_SHIPPED, Pace
from daemon.service import Background
from daemon.stream.checkpoint import CHECKPOINT_ID
from daemon.telemetry import emit
from rules.identity import bson_bytes

HEARD_S: Final = 0.05  # between two looks because of what other replicas say
PAGE: Final = 1_000
_REST: Final = 5  # times as long as a look took that had to step over what it leaves out


class Loader:
    """Polls the queue for the lanes owned here."""

    def __init__(
        self,
        executions: AsyncCollection[dict[str, Any]],
        lanes: Lanes,
        take_over: TakeOver,
        states: WorkflowStates,
        bury: Bury,
        clock: ServerClock,
        state: AsyncCollection[dict[str, Any]],
        *,
        beat: Beat,
        is_reader: Callable[[], bool],
        is_told: Callable[[], bool],
        on_edited: Callable[[Any], None],
        waiting: Callable[[], int],
        saturated: Callable[[], list[Any]],
        on_loaded: Callable[[], None],
        on_death: Callable[[str], None],
        pace: Pace = AS_SHIPPED,
    ) -> None:
        """``is_reader`` tells whether the reader runs in this process, ``is_told`` whether ``hear`` is called when
        the reader elsewhere has committed something. ``on_edited`` is given the id of an execution that somebody
        edited by hand. ``waiting`` tells how many jobs in memory only wait for a slot, ``saturated`` which workflows
        have so many of them that their next ones are left in MongoDB. ``on_loaded`` is called when jobs arrived.
        """
        self._executions = executions
        self._fair_share = FairShare(executions)
        self._state = state
        self._seen_commit: int | None = None
        self._looked_at = 0.0
        self._lanes = lanes
        self._take_over = take_over
        self._states = states
        self._bury = bury
        self._clock = clock
        self._beat = beat
        self._pace = pace
        self._is_reader = is_reader
        self._is_told = is_told
        self._has_heard = False
        self._on_edited = on_edited
        self._waiting = waiting
        self._saturated = saturated
        self._on_loaded = on_loaded
        self._nudge = asyncio.Event()
        self._task = Background("loader", self._run, on_death)
        self._new_lanes: set[int] = set()
        self._covered: datetime | None = None  # everything due until then is in memory
        self._nudges = 0  # how often somebody asked for a look at everything due
        self._is_behind = False
        self._rested_at = 0.0  # monotonic time in seconds until which no look is hurried

    async def start(self) -> None:
        """Start polling."""
        self._task.start()

    async def stop(self) -> None:
        """Stop polling."""
        await self._task.stop()

    def nudge(self) -> None:
        """Look at everything due, at once: something may have been queued.

        A look that is under way may have passed it already: another one follows.
        """
        self._nudges += 1
        self._covered = None
        self._nudge.set()

    def hear(self) -> None:
        """Look at once: another replica says there may be something. A burst of that is followed at a steady pace."""
        if self._has_heard or self._is_reader():
            return
        self._has_heard = True
        asyncio.get_running_loop().call_later(max(self._looked_at + HEARD_S - time.monotonic(), 0), self._nudge.set)

    def nudge_if_behind(self) -> None:
        """Look at once if more is due than was loaded, and there is room for it now."""
        if self._is_behind and not self._is_crowded() and time.monotonic() >= self._rested_at:
            self._nudge.set()

    def add_lane(self, lane: int) -> None:
        """Load a lane that is new here, and settle what its former owner left running."""
        self._new_lanes.add(lane)
        self.nudge()

    async def _run(self) -> None:
        while True:
            try:
                if await self._may_have_news():
                    if self._covered is None or not self._is_reader():  # the reader here puts what it commits
                        await self._states.refresh()
                    await self._settle_new_lanes()
                    await self._look()
            except PyMongoError as error:
                if not may_pass(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="poll of the queue", error=error)
            is_polling = self._is_behind or not (self._is_reader() or self._is_told())
            if is_polling:
                await is_set_within(self._nudge, max(self._pace.poll_s, self._rested_at - time.monotonic()))
            else:
                await self._beat.next(self._pace.queue_s, self._nudge)
            self._nudge.clear()

    async def _may_have_news(self) -> bool:
        """Return whether a look is due: the reader elsewhere has committed something, or the last look was a while ago.

        Asking for the checkpoint alone costs a fraction of a look, seven times a second.
        """
        now = time.monotonic()
        is_asked = self._is_behind or self._covered is None or self._has_heard
        if self._is_reader() or is_asked or now - self._looked_at >= self._pace.queue_s:
            self._looked_at, self._has_heard = now, False
            return True
        found = await self._state.find_one({"_id": CHECKPOINT_ID}, {"commit": 1}) or {}
        seen, self._seen_commit = self._seen_commit, found.get("commit")
        return seen != self._seen_commit

    async def _settle_new_lanes(self) -> None:
        lanes = sorted(self._new_lanes & self._lanes.owned)
        if lanes:
            await self._take_over.settle(lanes)
            self._new_lanes.difference_update(lanes)

    async def _look(self) -> None:
        if not self._lanes.owned:
            return
        until, nudges = self._clock.now() + AHEAD, self._nudges
        crowded = self._is_crowded()
        if self._lanes.is_full or (crowded and self._lanes.polling):
            self._is_behind = True
            return
        limit = PAGE if crowded and self._covered is not None else self._lanes.known + PAGE
        is_reader = self._is_reader()
        self._lanes.begin_poll()
        jobs, others = list[Job](), list[Job]()
        is_complete = False
        began, left_out = time.monotonic(), self._saturated()
        try:
            jobs, count = await self._find(self._covered if crowded else None, until, limit, left_out)
            is_complete = count < limit and not left_out
            if count == limit and not left_out:
                others = await self._find_others(jobs)
        finally:
            self._lanes.end_poll(
                jobs, preferred=others, is_complete=is_complete, is_reader=is_reader and self._is_reader()
            )
        self._rested_at = time.monotonic() + (_REST * (time.monotonic() - began) if left_out else 0)
        self._is_behind = not is_complete
        if is_complete:
            self._covered = until if nudges == self._nudges else None
        else:
            self._lanes.make_polling()
        if jobs:
            self._on_loaded()

    def _is_crowded(self) -> bool:
        return len(self._lanes) - self._waiting() >= PAGE

    async def _find(
        self, since: datetime | None, until: datetime, limit: int, left_out: list[Any]
    ) -> tuple[list[Job], int]:
        """Return the jobs due after ``since`` and until ``until``, and how many were found."""
        due: dict[str, Any] = {"$lte": until, "$type": "date"}
        if since is not None:
            due["$gt"] = since
        queued: dict[str, Any] = {"lane": {"$in": sorted(self._lanes.owned)}, "due_at": due, **NOT_EDITED}
        if left_out:
            queued["workflow_id"] = {"$nin": left_out}
        found = self._executions.find(queued, PROJECTION).sort([("due_at", 1), ("seq", 1)]).limit(limit)
        documents = await found.batch_size(PAGE).to_list()
        return await self._jobs(documents), len(documents)

    async def _find_others(self, jobs: Sequence[Job]) -> list[Job]:
        """Return due jobs of workflows that are not among ``jobs``, the head of a queue that does not fit."""
        crowd = {bson_bytes(job.workflow_id) for job in jobs}
        lanes = sorted(self._lanes.owned)
        return await self._jobs(await self._fair_share.find(self._states.going, crowd, lanes, self._clock.now()))

    async def _jobs(self, documents: Sequence[Mapping[str, Any]]) -> list[Job]:
        """Return the jobs of queued executions, without those that somebody edited; bury those that are corrupt."""
        jobs: list[Job] = []
        for document in documents:
            if is_edited(document):
                self._on_edited(document["_id"])
                continue
            try:
                job = job_from(document)
            except CorruptExecution as error:
                await self._bury(document, str(error))
            else:
                jobs.append(job)
        return jobs
