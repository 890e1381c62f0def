"""One clock: server time, read from the monotonic clock plus a sampled offset (promise 9).

The wall clock of this machine is never read, so it may be wrong or jump. ``hello.localTime`` is cut to whole
milliseconds, so the estimate errs towards the past: a waiting step may fire a millisecond late, never early.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAMPLES: Final = 5


class ServerClock:
    """The server's time, in UTC. ``sample`` must have succeeded once before ``now`` is called."""

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``monotonic`` returns the reading of the monotonic clock, in seconds."""
        self._database = database
        self._monotonic = monotonic
        self._offset_s = 0.0
        self.is_set = False

    def now(self) -> datetime:
        """Return the server's time, UTC-aware."""
        return _EPOCH + timedelta(seconds=self._monotonic() + self._offset_s)

    def monotonic_at(self, instant: datetime) -> float:
        """Return the reading of the monotonic clock, in seconds, when the server's clock will show ``instant``."""
        return (instant - _EPOCH).total_seconds() - self._offset_s

    async def sample(self) -> None:
        """Ask the server for its time a few times and set the offset by the best answer.

        The best is the one with the latest time among those with nearly the shortest round trip: cutting to whole
        milliseconds took least from it. An answer is taken to be as old as half its round trip.
        """
        answers: list[tuple[float, float]] = []
        for _ in range(_SAMPLES):
            sent = self._monotonic()
            reply = await self._database.command("hello")
            received = self._monotonic()
            local: datetime = reply["localTime"].replace(tzinfo=UTC)  # commands answer with naive dates
            answers.append((received - sent, (local - _EPOCH).total_seconds() - (sent + received) / 2))
        longest = min(answers)[0] * 2
        self._offset_s = max(offset for took, offset in answers if took <= longest)
        self.is_set = True
