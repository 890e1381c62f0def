"""The server's time from answers that were cut to milliseconds and travelled for unequal times."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from daemon.clock import ServerClock

STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class FarServer:
    """Answers ``hello`` as a server does; each answer takes its time to come and to go, in milliseconds."""

    def __init__(self, *legs: tuple[float, float]) -> None:
        self.now_s = 0.0
        self._legs = iter(legs)

    def monotonic(self) -> float:
        return self.now_s

    async def command(self, _: str) -> dict[str, Any]:
        there, back = next(self._legs)
        self.now_s += there / 1000
        exact = STARTED_AT + timedelta(seconds=self.now_s)
        self.now_s += back / 1000
        return {"localTime": exact.replace(microsecond=exact.microsecond // 1000 * 1000, tzinfo=None)}


async def behind_ms(*legs: tuple[float, float]) -> float:
    """Return by how many milliseconds the clock is behind the server after a sample; negative is ahead."""
    server = FarServer(*legs)
    here = ServerClock(cast("AsyncDatabase[Any]", server), server.monotonic)
    await here.sample()
    return (STARTED_AT + timedelta(seconds=server.now_s) - here.now()).total_seconds() * 1000


async def test_the_answer_counts_that_lost_least_when_it_was_cut() -> None:
    # The server reads its clock at 0.2, 0.6, 1.0, 1.4 and 1.8 ms: only the third answer loses nothing.
    assert await behind_ms(*[(0.2, 0.2)] * 5) == pytest.approx(0.0, abs=0.01)


async def test_an_answer_that_travelled_long_does_not_put_the_clock_forward() -> None:
    late = (40.0, 0.1)  # taken to be 20 ms old when it is new
    assert await behind_ms((0.2, 0.2), late, (0.2, 0.2), (0.2, 0.2), (0.2, 0.2)) >= 0
