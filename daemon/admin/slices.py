"""Let long work on the event loop go on in slices, so that everybody else has a turn between them."""

import asyncio
import time
from typing import Final

SLICE_S: Final = 0.002  # a step of an execution takes some ten turns of the loop; each may be later by so much


class Slices:
    """Measures one piece of work; it rests for as long as it has worked."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_S

    async def go_on(self) -> None:
        """Return at once, or where the slice is used up, after a rest."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(SLICE_S)
            self._until = time.perf_counter() + SLICE_S


class Pace:
    """The same for work in a thread, which holds the interpreter's lock meanwhile."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_S

    def __call__(self) -> None:
        """Return at once, or where the slice is used up, after a rest."""
        if time.perf_counter() >= self._until:
            time.sleep(SLICE_S)
            self._until = time.perf_counter() + SLICE_S
