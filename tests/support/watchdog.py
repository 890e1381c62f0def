"""Watches the event loop for stalls: how long at the most nothing else could run.

A stall is time in which the loop's thread worked or was blocked. Time in which it stood in the queue for a processor
does not count: that is what else the machine is busy with.
"""

import asyncio
import gc
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_native_id
from typing import Final

BEAT_S: Final = 0.005
_TRIES: Final = 3
_NANO: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Stall:
    """One beat of the loop that came late. Times are in seconds, ``began`` and ``ended`` of the monotonic clock."""

    began: float
    ended: float
    cpu_s: float  # the loop's thread was at work
    queued_s: float  # it was ready and waited for a processor

    @property
    def length_s(self) -> float:
        """How long the loop was away by its own fault."""
        return max(self.cpu_s, self.ended - self.began - BEAT_S - self.queued_s)


class Watchdog:
    """Measures in the event loop that runs ``watch``; ``on_beat`` is told of every beat."""

    def __init__(self, on_beat: Callable[[Stall], None] | None = None) -> None:
        self.longest_s = 0.0
        self.longest_cpu_s = 0.0
        self._on_beat = on_beat

    async def watch(self) -> None:
        queue = Path(f"/proc/self/task/{get_native_id()}/schedstat")
        while True:
            began, cpu, queued = time.monotonic(), time.thread_time(), _queued_s(queue)
            await asyncio.sleep(BEAT_S)
            ended, cpu_s = time.monotonic(), time.thread_time() - cpu
            stall = Stall(began, ended, cpu_s, _queued_s(queue) - queued)
            self.longest_s = max(self.longest_s, stall.length_s)
            self.longest_cpu_s = max(self.longest_cpu_s, stall.cpu_s)
            if self._on_beat is not None:
                self._on_beat(stall)


def _queued_s(path: Path) -> float:
    """Return how long a thread has waited for a processor so far (the second number of its schedstat)."""
    return int(path.read_bytes().split()[1]) * _NANO


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Watchdog]:
    """Yield the watchdog of the running event loop."""
    watchdog = Watchdog()
    task = asyncio.create_task(watchdog.watch(), name="watchdog")
    try:
        yield watchdog
        await asyncio.sleep(2 * BEAT_S)  # the beat that a stall at the very end has put off
    finally:
        task.cancel()
        await asyncio.wait([task])


async def least_stall(work: Callable[[], Awaitable[object]], bound_s: float) -> float:
    """Return how long ``work`` held up the loop, in seconds: in the quietest of three tries if it passes the bound.

    Only the time in which the loop's thread was at work counts. It also waits for the interpreter's lock where another
    thread has it, but that thread may itself be waiting for a processor, for as long as the machine likes.
    """
    least = math.inf
    for _ in range(_TRIES):
        gc.collect()
        gc.freeze()  # what the tests before have left is not looked through meanwhile
        try:
            async with watched_loop() as watchdog:
                await work()
        finally:
            gc.unfreeze()
        least = min(least, watchdog.longest_cpu_s)
        if least < bound_s:
            break
    return least
