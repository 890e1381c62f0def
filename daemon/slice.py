"""Divide long work into slices, between which the event loop runs other tasks (promise 8)."""

import asyncio
import time
from typing import Final

SLICE_S: Final = 0.01


class TimeSlice:
    """Measures the time since the event loop last turned, for one task."""

    __slots__ = ("_slice_s", "_until")

    def __init__(self, slice_s: float = SLICE_S) -> None:
        self._slice_s = slice_s
        self._until = time.perf_counter() + slice_s

    @property
    def is_over(self) -> bool:
        """Whether it is time to ``give_way``."""
        return time.perf_counter() >= self._until

    async def give_way(self) -> None:
        """Let the event loop turn once if the slice is over; a new one begins."""
        if self.is_over:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + self._slice_s
