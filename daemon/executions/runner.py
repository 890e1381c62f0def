"""Run the actions of steps, each under its deadline, and record how they end.

An action inside MongoDB does no I/O: it runs at once. One that reaches outside comes with its slots: aiojobs runs it
in the background, its intent is stored first, and its slots are released when it has ended.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

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
from daemon.executions.machine import advance
from daemon.executions.occurrence import Began, HandedBack
from daemon.executions.recorder import Recorder
from daemon.executions.slot_queue import SlotQueue
from daemon.executions.slots import Taken
from daemon.executions.unit import Unit, unit_of
from daemon.lease.holds import Holds
from daemon.telemetry import emit


class Runner:
    """Runs attempts."""

    def __init__(
        self,
        commit: GroupCommit,
        recorder: Recorder,
        lanes: Lanes,
        clock: ServerClock,
        services: Services,
        holds: Holds,
        slots: SlotQueue,
        *,
        grace: timedelta,
    ) -> None:
        """``grace`` is how long actions outside may go on when the runner stops."""
        self._commit = commit
        self._recorder = recorder
        self._lanes = lanes
        self._clock = clock
        self._services = services
        self._slots = slots
        self._holds = holds
        self._grace = grace
        self._scheduler: aiojobs.Scheduler | None = None
        self._is_stopping = False

    @property
    def active(self) -> int:
        """How many attempts run outside now."""
        return self._scheduler.active_count if self._scheduler is not None else 0

    async def start(self) -> None:
        """Take attempts from now on."""
        self._is_stopping = False
        if self._scheduler is None:
            self._scheduler = aiojobs.Scheduler(limit=None, exception_handler=_report)

    async def stop(self) -> None:
        """Start nothing new, give running actions the grace, cancel the rest."""
        self._is_stopping = True
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            await scheduler.wait_and_close(timeout=self._grace.total_seconds())

    async def run(self, attempt: Attempt, entity: Mapping[str, Any], taken: Taken | None) -> None:
        """Run an attempt; in the background, after its intent, if it has slots."""
        if taken is None:
            context = context_of(attempt, entity, attempt.began_at, self._services)
            self._recorder.record(attempt, await perform(attempt, context))
        elif self._scheduler is not None:
            name = str(attempt.job.execution_id)
            await self._scheduler.spawn(self._run_outside(attempt, entity, taken), name=name)
        else:
            self._slots.release(taken, has_begun=False)
            self._lanes.release(attempt.queued)

    async def _run_outside(self, attempt: Attempt, entity: Mapping[str, Any], taken: Taken) -> None:
        started: Attempt | None = None
        try:
            started = await self._intend(attempt)
            if started is not None:
                await self._perform(started, entity)
        finally:
            self._slots.release(taken, has_begun=started is not None)

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
        if not self._holds.may_start(attempt.job.lane):
            self._lanes.give_back(attempt.queued)
            return None
        now = self._clock.now()
        move = advance(attempt.workflow.program, attempt.job, Began(), now)
        unit = unit_of(attempt.job, move, epoch=attempt.epoch, began_at=now)
        receipt = self._commit.submit(unit)
        try:
            fate = (await asyncio.shield(receipt)).fate
        except asyncio.CancelledError:
            receipt.add_done_callback(partial(self._take_back, unit, attempt))
            raise
        if unit.following is None or fate is Fate.LOST:
            job = attempt.job
            emit(Event.EXECUTOR_LEASE_LOST, execution_id=job.execution_id, step=job.step, node=job.node)
            self._lanes.give_back(attempt.queued)
        elif fate is not Fate.COMMITTED:
            self._recorder.record(attempt, Fail(receipt.result().error))
        elif not self._holds.may_start(unit.following.lane) or self._is_stopping:
            self._take_back(unit, attempt, receipt)
        else:
            return Attempt(attempt.queued, unit.following, attempt.workflow, attempt.step, attempt.epoch, now)
        return None

    def _take_back(self, unit: Unit, attempt: Attempt, receipt: asyncio.Future[Receipt]) -> None:
        """Queue an attempt again whose intent was stored and whose effect has not begun."""
        is_stored = not receipt.cancelled() and receipt.result().fate is Fate.COMMITTED
        if is_stored and unit.following is not None:
            self._hand_back(attempt, unit.following)

    def _hand_back(self, attempt: Attempt, running: Job) -> None:
        move = advance(attempt.workflow.program, running, HandedBack(), self._clock.now())
        self._recorder.submit(unit_of(running, move, epoch=attempt.epoch), attempt.queued)

    def _cut_off(self, attempt: Attempt, context: Context) -> None:
        """Record an attempt that outlived the grace of a stop, or queue it again where it may be repeated."""
        outcome = cut_off(attempt, context, "the daemon stopped while the action was at work")
        if isinstance(outcome, Retry):
            self._hand_back(attempt, attempt.job)
        else:
            self._recorder.record(attempt, outcome)


def _report(scheduler: aiojobs.Scheduler, context: dict[str, Any]) -> None:
    emit(Event.SERVICE_FAILED, service="outside steps", error=context.get("exception") or context.get("message", ""))
