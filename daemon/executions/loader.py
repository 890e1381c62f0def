"""Bring due executions from MongoDB into memory: a few seconds ahead of their time, in order.

The reader in this process hands its executions over in memory. The loader finds all others by polling: delays,
retries, what people and other replicas queue, and what did not fit. It polls seldom where somebody signals new work,
several times a second where nobody does. While little is in memory a poll reads everything that is due; else only what
has come within reach since the poll before. Where more is due than fits, a poll also reads beside the head of the
queue, so that many executions of one workflow do not delay the others.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol

from daemon.clock import ServerClock
from daemon.executions.due_queue import PAGE, DueQueue
from daemon.executions.job import Job
from daemon.executions.lanes import AHEAD, Lanes
from daemon.foundation import Signals
from daemon.pace import Pace
from daemon.poll import SHORTEST_S, Pause, regular

_REST: Final = 5  # times as long as a poll took that had to step over what it leaves out
_LONGEST_REST_S: Final = 1.0


class Waiting(Protocol):
    """The steps in memory that wait for a slot of their own kind."""

    @property
    def waiting(self) -> int:
        """How many there are."""

    @property
    def saturated(self) -> list[Any]:
        """The workflows that have so many of them that their next ones are left in MongoDB."""


class Loader:
    """Polls the queue for the lanes owned here."""

    def __init__(
        self,
        queue: DueQueue,
        lanes: Lanes,
        slots: Waiting,
        clock: ServerClock,
        *,
        signals: Signals,
        is_told: Callable[[], bool],
        pace: Pace,
    ) -> None:
        """``is_told`` tells whether the signal ``queue`` is surely sent when something may have been queued."""
        self._queue = queue
        self._lanes = lanes
        self._slots = slots
        self._clock = clock
        self._signals = signals
        self._is_told = is_told
        self._pace = pace
        self._new_lanes: set[int] = set()
        self._covered: tuple[int, datetime] | None = None  # signals by then; all that is due until then is in memory

    def add_lane(self, lane: int) -> None:
        """Load a lane that is new here, and settle the executions that its former owner left running."""
        self._new_lanes.add(lane)
        self._signals.queue.send()

    async def poll(self) -> Pause:
        """Load what is due, and return the pause; raise the driver's error."""
        is_complete, rest_s = True, 0.0
        new = sorted(self._new_lanes & self._lanes.owned)
        if new:
            await self._queue.take_over(new)
            self._new_lanes.difference_update(new)
        if self._lanes.owned:
            is_complete, rest_s = await self._load()
        return pause_after(is_complete, rest_s, self._is_told(), self._pace, time.monotonic())

    async def _load(self) -> tuple[bool, float]:
        """Return whether all that is due is in memory, and for how many seconds the next poll should not follow."""
        until, signals, has_a_page = self._clock.now() + AHEAD, self._signals.queue.count, self._has_a_page()
        if self._lanes.is_full or (has_a_page and self._lanes.polling):
            return False, 0.0
        since = None
        if has_a_page and self._covered is not None and self._covered[0] == signals:
            since = self._covered[1]
        began, left_out = time.monotonic(), self._slots.saturated
        is_complete = await self._look(since, until, left_out)
        if is_complete:
            self._covered = signals, until
        return is_complete, _REST * (time.monotonic() - began) if left_out else 0.0

    async def _look(self, since: datetime | None, until: datetime, left_out: list[Any]) -> bool:
        """Put due jobs into the lanes; return whether these are all."""
        lanes, limit = sorted(self._lanes.owned), PAGE + (self._lanes.known if since is None else 0)
        jobs, others = list[Job](), list[Job]()
        is_complete = False
        self._lanes.begin_poll()
        try:
            if self._lanes.polling:  # the reader here hands its switches over to direct lanes
                await self._queue.refresh()
            jobs, count = await self._queue.find(lanes, (since, until), limit, left_out)
            is_complete = count < limit and not left_out
            if count == limit and not left_out:
                others = await self._queue.find_others(lanes, jobs, self._clock.now())
        finally:
            self._lanes.end_poll(jobs, preferred=others, is_complete=is_complete)
        if not is_complete:
            self._lanes.make_polling()
        if jobs:
            self._signals.due.send()
        return is_complete

    def _has_a_page(self) -> bool:
        return len(self._lanes) - self._slots.waiting >= PAGE


def pause_after(is_complete: bool, rest_s: float, is_told: bool, pace: Pace, now_s: float) -> Pause:
    """Return how long the loader pauses after a poll. ``is_complete``: all that is due is in memory.

    ``is_told``: somebody signals when more is queued. A signal does not shorten the rest after a costly poll.
    """
    if is_complete and is_told:
        return regular(pace.queue_s, now_s)
    rest_s = min(rest_s, _LONGEST_REST_S)
    return Pause(max(pace.poll_s if is_complete else SHORTEST_S, rest_s), max(SHORTEST_S, rest_s))
