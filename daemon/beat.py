"""When those look who look again and again: at the same moments as all others, and not where a step is about to run.

Of a process that was asleep, the first round trip to MongoDB costs four times as much processor time as one right
behind another. But a step that is due in the midst of ten looks comes milliseconds late. Leases wait for nobody.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

_LATEST_S: Final = 0.05  # where there is always something to do, looks take place all the same
_WAIT_S: Final = 0.005
_SOON: Final = timedelta(milliseconds=10)


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return whether ``event`` is set, as soon as it is or when the seconds have passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()


def until_beat(period_s: float, now_s: float | None = None) -> float:
    """Return the seconds until the monotonic clock is next a multiple of ``period_s``, at least half a period.

    ``now_s`` is what it shows, unless it is to be asked.
    """
    left = period_s - (time.monotonic() if now_s is None else now_s) % period_s
    return left if left >= period_s / 2 else left + period_s


def is_due_soon(due_at: datetime | None, now: datetime) -> bool:
    """Return whether a look gives way to what is due at ``due_at``."""
    return due_at is not None and due_at <= now + _SOON


class Beat:
    """The regular moments of one replica."""

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        """``is_busy`` tells whether something is at work, or due in a moment, that must not wait."""
        self._is_busy = is_busy

    async def next(self, period_s: float, nudge: asyncio.Event | None = None) -> None:
        """Return at the next multiple of ``period_s``, up to 50 ms later while there is work; at once when nudged."""
        if nudge is None:
            await asyncio.sleep(until_beat(period_s))
        elif await is_set_within(nudge, until_beat(period_s)):
            return
        until = time.monotonic() + _LATEST_S
        while self._is_busy() and (nudge is None or not nudge.is_set()):
            if time.monotonic() >= until:
                return
            await asyncio.sleep(_WAIT_S)
