"""Divide long work on the event loop into slices, with rests in which other tasks run."""

import asyncio
import time
from typing import Final

SLICE_S: Final = 0.002  # a step of an execution takes some ten turns of the loop; each may be later by so much


class Slices:
    """Measures one piece of work, and lets it rest after each slice for as long as the slice."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_S

    async def go_on(self) -> None:
        """Return at once, or where the slice is used up, after a rest."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(SLICE_S)
            self._until = time.perf_counter() + SLICE_S


class ThreadPace:
    """The same for work in a thread, which holds the interpreter's lock while it works."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_S

    def __call__(self) -> None:
        """Return at once, or where the slice is used up, after a rest."""
        if time.perf_counter() >= self._until:
            time.sleep(SLICE_S)
            self._until = time.perf_counter() + SLICE_S
