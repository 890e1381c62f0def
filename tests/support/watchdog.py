"""Watches the event loop for stalls: how long at the most nothing else could run.

Measured in time of the processor, so that what else the machine is busy with does not count.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

BEAT_S: Final = 0.005


class Watchdog:
    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(BEAT_S)
            self.longest_s = max(self.longest_s, time.thread_time() - before)


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Watchdog]:
    """Yield the watchdog of the running event loop."""
    watchdog = Watchdog()
    task = asyncio.create_task(watchdog.watch(), name="watchdog")
    try:
        yield watchdog
    finally:
        task.cancel()
        await asyncio.wait([task])
