"""Run steps that reach outside MongoDB: intent first, then the action under a deadline, in a limited number at once.

aiojobs runs them; one is spawned only when a slot is free. Jobs without a slot wait here, and slots go round their
workflows, so that a slow host of one workflow does not keep the others waiting; what one workflow has too many of
stays in MongoDB. What waited is judged anew when its turn comes: its switch, its entity and its conditions may have
changed. Steps that were at work when their owner died, twice, run one at a time from then on: one of them may be the
cause, and the others must not be counted as crashed with it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

import aiojobs

from actions.context import Context
from actions.outcome import Fail, Retry
from actions.services import Services
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.attempt import Attempt, context_of, cut_off, perform
from daemon.executions.group_commit import Fate, GroupCommit, Receipt
from daemon.executions.job import Job
from daemon.executions.lanes import Lanes
from daemon.executions.recorder import Recorder
from daemon.executions.transition import hand_back, intend
from daemon.executions.unit import Unit
from daemon.telemetry import emit
from rules.identity import bson_bytes

ALONE_AFTER: Final = 2  # crashes
_SUSPECTS: Final = b"suspects"  # no BSON: no workflow's key
MOST_WAITING: Final = 1_000  # jobs of one workflow that wait in memory; it may have more again at half of that


class OutsideRunner:
    """Runs attempts that reach outside, at most ``concurrency`` at once."""

    def __init__(
        self,
        commit: GroupCommit,
        recorder: Recorder,
        lanes: Lanes,
        clock: ServerClock,
        services: Services,
        *,
        concurrency: int,
        may_start: Callable[[int], bool],
        on_free: Callable[[], None],
    ) -> None:
        """``may_start`` tells whether an effect may start now for a lane: whether its lease is trusted.

        ``on_free`` is called when a slot has become free.
        """
        self._commit = commit
        self._recorder = recorder
        self._lanes = lanes
        self._clock = clock
        self._services = services
        self._concurrency = concurrency
        self._may_start = may_start
        self._on_free = on_free
        self._waiting: OrderedDict[bytes, deque[Job]] = OrderedDict()
        self._saturated: dict[bytes, Any] = {}
        self._active = 0
        self.has_suspect = False  # whether a step is at work that has to be alone among its like
        self._scheduler: aiojobs.Scheduler | None = None
        self._is_stopping = False

    @property
    def active(self) -> int:
        """How many attempts run now."""
        return self._active

    @property
    def free(self) -> int:
        """How many slots are free."""
        return 0 if self._is_stopping else self._concurrency - self._active

    async def start(self) -> None:
        """Take attempts from now on."""
        self._is_stopping = False
        if self._scheduler is None:
            self._scheduler = aiojobs.Scheduler(limit=None, exception_handler=_report)

    async def stop(self, grace: timedelta = timedelta(0)) -> None:
        """Start nothing new, give what runs the grace, cancel the rest; what waited is left to its next owner."""
        self._is_stopping = True
        for waiting in self._waiting.values():
            for job in waiting:
                self._lanes.release(job)
        self._waiting.clear()
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            await scheduler.wait_and_close(timeout=grace.total_seconds())

    @property
    def waiting(self) -> int:
        """How many jobs wait for a slot."""
        return sum(map(len, self._waiting.values()))

    @property
    def saturated(self) -> list[Any]:
        """The ids of the workflows of which no more can wait here."""
        return list(self._saturated.values())

    def wait(self, job: Job) -> bool:
        """Keep a job that was taken until ``next_waiting`` gives it a slot; return False if its workflow has too many.

        Once one is refused, all are until half of them are gone: they are to come in order again.
        """
        key = _SUSPECTS if is_suspect(job) else bson_bytes(job.workflow_id)
        if key is not _SUSPECTS and len(self._waiting.get(key, ())) >= MOST_WAITING:
            self._saturated[key] = job.workflow_id
        if key in self._saturated:
            return False
        self._waiting.setdefault(key, deque()).append(job)
        return True

    def next_waiting(self) -> list[Job]:
        """Return the jobs whose turn it is, as many as there are free slots, one workflow after another."""
        turns: list[Job] = []
        suspects = self._waiting.pop(_SUSPECTS, None)
        if suspects and not self.has_suspect and self.free > 0:
            turns.append(suspects.popleft())
        while self._waiting and len(turns) < self.free:
            workflow, waiting = self._waiting.popitem(last=False)
            turns.append(waiting.popleft())
            if waiting:
                self._waiting[workflow] = waiting
            if len(waiting) <= MOST_WAITING // 2:
                self._saturated.pop(workflow, None)
        if suspects:
            self._waiting[_SUSPECTS] = suspects
        return turns

    def drop(self, lane: int) -> None:
        """Leave what waits for a slot in a lane to the lane's next owner."""
        for workflow, waiting in list(self._waiting.items()):
            for job in [job for job in waiting if job.lane == lane]:
                waiting.remove(job)
                self._lanes.release(job)
            if not waiting:
                del self._waiting[workflow]
            if len(waiting) <= MOST_WAITING // 2:
                self._saturated.pop(workflow, None)

    async def run(self, attempt: Attempt, entity: Mapping[str, Any]) -> None:
        """Run an attempt; there must be a free slot."""
        if self._scheduler is None:
            self._lanes.release(attempt.queued)
            return
        self._active += 1
        self.has_suspect |= is_suspect(attempt.job)
        await self._scheduler.spawn(self._attempt(attempt, entity), name=str(attempt.job.execution_id))

    async def _attempt(self, attempt: Attempt, entity: Mapping[str, Any]) -> None:
        try:
            started = await self._intend(attempt)
            if started is not None:
                await self._perform(started, entity)
        finally:
            self._active -= 1
            self.has_suspect &= not is_suspect(attempt.job)
            self._on_free()

    async def _perform(self, attempt: Attempt, entity: Mapping[str, Any]) -> None:
        context = context_of(attempt, entity, self._clock.now(), self._services)
        try:
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_INTENT)
            outcome = await perform(attempt, context)
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_EFFECT)
            self._recorder.record(attempt, outcome)
        except asyncio.CancelledError:
            self._cut_off(attempt, context)
            raise

    async def _intend(self, attempt: Attempt) -> Attempt | None:
        """Store the intent; return the attempt as it runs, or None when it must not."""
        if not self._may_start(attempt.job.lane):
            self._lanes.give_back(attempt.queued)
            return None
        now = self._clock.now()
        unit = intend(attempt.job, attempt.epoch, now)
        receipt = self._commit.submit(unit)
        try:
            fate = (await asyncio.shield(receipt)).fate
        except asyncio.CancelledError:
            receipt.add_done_callback(partial(self._take_back, unit, attempt))
            raise
        if unit.following is None or fate is Fate.LOST:
            emit(Event.EXECUTOR_LEASE_LOST, execution_id=attempt.job.execution_id, step=attempt.job.step)
            self._lanes.give_back(attempt.queued)
        elif fate is not Fate.COMMITTED:
            self._recorder.record(attempt, Fail(receipt.result().error))
        elif not self._may_start(unit.following.lane) or self._is_stopping:
            self._take_back(unit, attempt, receipt)
        else:
            return Attempt(attempt.queued, unit.following, attempt.workflow, attempt.step, attempt.epoch, now)
        return None

    def _take_back(self, unit: Unit, attempt: Attempt, receipt: asyncio.Future[Receipt]) -> None:
        """Queue an attempt again whose intent was stored and whose effect has not begun."""
        is_stored = not receipt.cancelled() and receipt.result().fate is Fate.COMMITTED
        if is_stored and unit.following is not None:
            back = hand_back(unit.following, epoch=attempt.epoch)
            self._recorder.submit(back, attempt.queued)

    def _cut_off(self, attempt: Attempt, context: Context) -> None:
        """Record an attempt that outlived the grace of a stop, or queue it again where it may be repeated."""
        outcome = cut_off(attempt, context, "the daemon stopped while the action was at work")
        if isinstance(outcome, Retry):
            back = hand_back(attempt.job, epoch=attempt.epoch)
            self._recorder.submit(back, attempt.queued)
        else:
            self._recorder.record(attempt, outcome)


def is_suspect(job: Job) -> bool:
    """Return whether a step was at work so often when its owner died that it has to run alone among its like."""
    return job.crashes >= ALONE_AFTER


def _report(scheduler: aiojobs.Scheduler, context: dict[str, Any]) -> None:
    emit(Event.SERVICE_FAILED, service="outside steps", error=context.get("exception") or context.get("message", ""))
