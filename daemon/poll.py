"""Time the polls of MongoDB: at once after a signal, or after a pause.

The pause is a value that a pure function computes from what the last poll found and from the time. Regular polls of
one process take place at common moments: after a sleep of the process the first round trip to MongoDB costs four times
as much processor time as one right behind another.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

SHORTEST_S: Final = 0.05
_SOON: Final = timedelta(milliseconds=10)


class Signal:
    """Makes one task poll now. Sent several times before the poll, it causes one poll."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.count = 0

    def send(self) -> None:
        """Make the task poll; after a poll under way another one follows, because that may have missed the news."""
        self.count += 1
        self._event.set()

    def take(self) -> bool:
        """Return whether it was sent since it was last taken; a task takes it before it polls."""
        was_sent = self._event.is_set()
        self._event.clear()
        return was_sent

    async def wait(self) -> None:
        """Return once it is sent."""
        await self._event.wait()

    async def within(self, seconds: float) -> bool:
        """Return whether it is sent, as soon as it is or when the seconds have passed."""
        return await is_set_within(self._event, seconds)


@dataclass(frozen=True, slots=True)
class Pause:
    """How many seconds after a poll the next one begins without a signal, and with one, counted from its beginning.

    ``gives_way``: whether the next poll waits a moment where a step is due or at work.
    """

    longest_s: float
    shortest_s: float = SHORTEST_S
    gives_way: bool = False


def regular(period_s: float, now_s: float) -> Pause:
    """Return the pause until the next common moment of all that poll every ``period_s``; such polls give way."""
    return Pause(until_common(period_s, now_s), gives_way=True)


def until_common(period_s: float, now_s: float) -> float:
    """Return the seconds until the monotonic clock, now at ``now_s``, is a multiple of ``period_s``.

    At least half a period: then it is the multiple after that.
    """
    left = period_s - now_s % period_s
    return left if left >= period_s / 2 else left + period_s


def is_due_soon(due_at: datetime | None, now: datetime) -> bool:
    """Return whether a poll gives way to what is due at ``due_at``."""
    return due_at is not None and due_at <= now + _SOON


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return whether ``event`` is set, as soon as it is or when the seconds have passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()
