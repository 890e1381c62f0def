"""When the loader looks at the queue."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from daemon.executions.lanes import Lanes
from daemon.executions.loader import Loader

NUDGED_LOOKS = 3


class Queue:
    """An empty queue. Somebody nudges while each of the first looks is under way."""

    def __init__(self) -> None:
        self.looks = 0
        self.loader: Loader
        self.is_done = asyncio.Event()

    def find(self, *query: Any) -> "Queue":
        return self

    sort = limit = batch_size = find

    async def to_list(self) -> list[Any]:
        self.looks += 1
        if self.looks <= NUDGED_LOOKS:
            self.loader.nudge()
        else:
            self.is_done.set()
        return []


class Quiet:
    """Whatever else the loader asks for: the checkpoint never moves, and nothing happens by time alone."""

    async def find_one(self, *query: Any) -> dict[str, Any]:
        return {"commit": 1}

    async def next(self, period_s: float, nudge: asyncio.Event) -> None:
        await nudge.wait()

    async def refresh(self) -> None:
        pass

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_nudge_during_a_look_makes_another_one_follow_where_the_reader_is_elsewhere() -> None:
    queue, quiet, lanes = Queue(), Quiet(), Lanes(capacity=10)
    lanes.open(0)
    given: dict[str, Any] = {
        "beat": quiet,
        "is_reader": lambda: False,
        "is_told": lambda: True,
        "on_edited": print,
        "waiting": lambda: 0,
        "saturated": list,
        "on_loaded": lambda: None,
        "on_death": print,
    }
    queue.loader = Loader(queue, lanes, quiet, quiet, quiet, quiet, quiet, **given)  # type: ignore[arg-type]
    await queue.loader.start()
    try:
        await asyncio.wait_for(queue.is_done.wait(), 1)
    finally:
        await queue.loader.stop()
    assert queue.looks == NUDGED_LOOKS + 1
