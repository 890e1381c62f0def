"""Log the regular ``status`` line: rates, queue depth, oldest due execution and stream lag.

The reporter also samples the offset of the server's clock, at least before every line.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from daemon.clock import ServerClock
from daemon.event import Event
from daemon.metrics import Activity, Metrics
from daemon.poll import Pause
from daemon.stream.cursor import AWAIT_S
from daemon.telemetry import emit

CLOCK_SAMPLE_S: Final = 10.0
BEHIND: Final = timedelta(seconds=60)  # a larger lag is logged, and the replica is not ready
_MOST_COUNTED: Final = 100_000  # a deeper queue is logged as this number


class StatusReporter:
    """Emits the status line and samples the clock."""

    def __init__(
        self,
        executions: AsyncCollection[dict[str, Any]],
        clock: ServerClock,
        metrics: Metrics,
        *,
        interval_s: float,
        all_lanes: int,
        activity: Callable[[], Activity],
    ) -> None:
        """``interval_s``: seconds between two lines; ``all_lanes``: how many lanes there are, here and elsewhere.

        ``activity`` tells what the other services do now.
        """
        self._all_lanes = all_lanes
        self._executions = executions
        self._clock = clock
        self._metrics = metrics
        self._interval_s = interval_s
        self._activity = activity
        self._before = (time.monotonic(), 0, 0)
        self._report_at = 0.0

    def begin(self) -> None:
        """Report in an interval from now."""
        self._before = (time.monotonic(), 0, 0)
        self._report_at = time.monotonic() + self._interval_s

    async def poll(self) -> Pause:
        """Sample the clock, and report when it is time; raise the driver's error."""
        await self._clock.sample()
        if time.monotonic() >= self._report_at:
            self._report_at += self._interval_s
            await self._report()
        return Pause(max(min(CLOCK_SAMPLE_S, self._report_at - time.monotonic()), 0.01))

    async def _report(self) -> None:
        metrics, now, lag_s = self._metrics, self._clock.now(), self.lag_s()
        queued: dict[str, Any] = {"lane": {"$in": list(range(self._all_lanes))}, "due_at": {"$type": "date"}}
        due = {**queued, "due_at": {"$lte": now, "$type": "date"}}
        waiting = await self._executions.count_documents(queued, limit=_MOST_COUNTED)
        overdue = await self._executions.count_documents(due, limit=_MOST_COUNTED)
        oldest = await self._executions.find(due, {"due_at": 1}).sort("due_at", 1).limit(1).to_list()
        at, changes, steps = self._before
        seconds = max(time.monotonic() - at, 0.001)
        activity = self._activity()
        self._before = (time.monotonic(), metrics.changes, metrics.steps)
        emit(
            Event.STATUS,
            changes_per_s=round((metrics.changes - changes) / seconds, 1),
            steps_per_s=round((metrics.steps - steps) / seconds, 1),
            lag_s=lag_s,
            due=overdue,
            oldest_due_s=round((now - oldest[0]["due_at"]).total_seconds(), 3) if oldest else 0.0,
            waiting=waiting - overdue,
            running=activity.running,
            lanes=activity.lanes,
            is_reader=activity.is_reader,
            executions=metrics.executions,
            completed=metrics.completed,
            failed=metrics.failed,
            cancelled=metrics.cancelled,
        )
        if lag_s is not None and lag_s > BEHIND.total_seconds():
            emit(Event.READER_BEHIND, lag_s=lag_s)

    def gauges(self) -> Mapping[str, tuple[str, float | None]]:
        """Return what the API shows as it is now: name → (meaning, value); None where there is no value."""
        now = self._activity()
        return {
            "stream_lag_seconds": ("How far behind the stream this replica reads.", self.lag_s()),
            "is_reader": ("Whether this replica reads the stream.", float(now.is_reader)),
            "lanes": ("Lanes this replica owns.", float(now.lanes)),
            "jobs": ("Steps kept in memory.", float(now.jobs)),
            "outside": ("Actions at work outside MongoDB.", float(now.outside)),
            "slot_queue": ("Steps that wait in memory to begin outside MongoDB.", float(now.slot_queue)),
        }

    def lag_s(self) -> float | None:
        """Return how far the stream is behind, in seconds; None on a replica that does not read.

        While there is nothing to read, the server keeps its answer back: silence for so long is no lag.
        """
        if not self._activity().is_reader:
            return None
        last_change_at, caught_up_at = self._metrics.last_change_at, self._metrics.caught_up_at
        if caught_up_at is not None and (last_change_at is None or caught_up_at >= last_change_at):
            return self._seconds_since(caught_up_at + timedelta(seconds=AWAIT_S))
        return None if last_change_at is None else self._seconds_since(last_change_at)

    def _seconds_since(self, at: datetime) -> float:
        return round(max((self._clock.now() - at).total_seconds(), 0.0), 3)
