"""Run steps that reach outside MongoDB: intent first, then the action under a deadline, in a limited number at once.

aiojobs runs them; one is spawned only when a slot is free. Slots go round the workflows that wait for one, so that a
slow host of one workflow does not keep the others waiting.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiojobs

from actions.action import Delivery
from actions.outcome import Fail, Outcome, Retry, Uncertain
from actions.services import Services
from config.error import PermanentActionError, TransientActionError
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.attempt import Attempt, context_of
from daemon.executions.group_commit import Fate, GroupCommit
from daemon.executions.lanes import Lanes
from daemon.executions.recorder import Recorder
from daemon.executions.transition import hand_back, intend
from daemon.telemetry import emit
from rules.identity import bson_bytes

Waiting = tuple[Attempt, dict[str, Any]]


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
    ) -> None:
        """``may_start`` tells whether an effect may start now for a lane: whether its lease is trusted."""
        self._commit = commit
        self._recorder = recorder
        self._lanes = lanes
        self._clock = clock
        self._services = services
        self._concurrency = concurrency
        self._may_start = may_start
        self._waiting: OrderedDict[bytes, deque[Waiting]] = OrderedDict()
        self._active = 0
        self._scheduler: aiojobs.Scheduler | None = None
        self._is_stopping = False

    @property
    def active(self) -> int:
        """How many attempts run now."""
        return self._active

    async def start(self) -> None:
        """Take attempts from now on."""
        self._is_stopping = False
        self._scheduler = aiojobs.Scheduler(limit=None, exception_handler=_report)

    async def stop(self, grace: timedelta = timedelta(0)) -> None:
        """Start nothing new, give what runs the grace, cancel the rest; what waited is left to its next owner."""
        self._is_stopping = True
        for waiting in self._waiting.values():
            for attempt, _ in waiting:
                self._lanes.release(attempt.queued)
        self._waiting.clear()
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            await scheduler.wait_and_close(timeout=grace.total_seconds())

    async def run(self, attempt: Attempt, entity: dict[str, Any]) -> None:
        """Run an attempt as soon as a slot is free."""
        self._waiting.setdefault(bson_bytes(attempt.workflow.id), deque()).append((attempt, entity))
        await self._fill()

    async def _fill(self) -> None:
        while self._waiting and self._active < self._concurrency and self._scheduler is not None:
            workflow, waiting = self._waiting.popitem(last=False)
            attempt, entity = waiting.popleft()
            if waiting:
                self._waiting[workflow] = waiting
            self._active += 1
            await self._scheduler.spawn(self._attempt(attempt, entity), name=str(attempt.job.execution_id))

    async def _attempt(self, attempt: Attempt, entity: dict[str, Any]) -> None:
        try:
            started = await self._intend(attempt)
            if started is None:
                return
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_INTENT)
            outcome = await self._perform(started, entity)
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_EFFECT)
            self._recorder.record(started, outcome)
        except asyncio.CancelledError:
            raise
        finally:
            self._active -= 1
            if not self._is_stopping:
                await self._fill()

    async def _intend(self, attempt: Attempt) -> Attempt | None:
        """Store the intent; return the attempt as it runs, or None when it must not: somebody else has it."""
        if not self._may_start(attempt.job.lane):
            self._lanes.release(attempt.queued)
            return None
        now = self._clock.now()
        unit = intend(attempt.job, attempt.epoch, now)
        receipt = await asyncio.shield(self._commit.submit(unit))
        if receipt.fate is not Fate.COMMITTED or unit.following is None:
            emit(Event.EXECUTOR_LEASE_LOST, execution_id=attempt.job.execution_id, step=attempt.job.step)
            self._lanes.release(attempt.queued)
            return None
        running = unit.following
        started = Attempt(attempt.queued, running, attempt.workflow, attempt.step, attempt.epoch, now)
        if not self._may_start(running.lane) or self._is_stopping:
            back = hand_back(running, epoch=attempt.epoch, now=self._clock.now())
            self._recorder.submit(back, attempt.queued)
            return None
        return started

    async def _perform(self, attempt: Attempt, entity: dict[str, Any]) -> Outcome:
        """Run the action under its deadline. What was cut off may have taken place."""
        action = attempt.step.action
        is_once = action.delivery is Delivery.AT_MOST_ONCE
        context = context_of(attempt, entity, self._clock.now(), self._services)
        timeout_s = attempt.step.timeout.total_seconds()
        try:
            async with asyncio.timeout(timeout_s):
                return await outcome_of(action.run(context), attempt)
        except TimeoutError:
            error = f"no end within {timeout_s:g} s"
            return Uncertain(error) if is_once else Retry(error)
        except asyncio.CancelledError:
            if is_once:
                self._recorder.record(attempt, Uncertain("the daemon stopped while the action was at work"))
            else:
                back = hand_back(attempt.job, epoch=attempt.epoch, now=self._clock.now())
                self._recorder.submit(back, attempt.queued)
            raise


async def outcome_of(run: Awaitable[Outcome], attempt: Attempt) -> Outcome:
    """Await an action and turn what it raises into an outcome; nothing but cancellation and deadlines escapes."""
    try:
        return await run
    except TransientActionError as error:
        return Retry(str(error), error.retry_after)
    except PermanentActionError as error:
        return Fail(str(error))
    except TimeoutError:
        raise
    except Exception as error:
        emit(Event.ACTION_CRASHED, **attempt.job.names, action_type=attempt.step.action_type, error=error)
        return Fail(f"the action failed unexpectedly: {type(error).__name__}")


def _report(scheduler: aiojobs.Scheduler, context: dict[str, Any]) -> None:
    emit(Event.SERVICE_FAILED, service="outside steps", error=context.get("exception") or context.get("message", ""))
