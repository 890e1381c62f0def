"""When a task exists, as the CRM would learn it: by a change stream of its own on ``tasks``."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.figures import Spread, spread_of

_PROBE_COUNT = 100
_PROBE_S = 0.02
_AWAIT_MS = 1_000


@dataclass(slots=True)
class Observer:
    """When each lead's task was seen: ``(monotonic, wall)`` by the lead's id."""

    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def has_seen(self, count: int, within_s: float) -> None:
        """Return once ``count`` tasks were seen; raise TimeoutError when they do not come."""
        async with asyncio.timeout(within_s):
            while len(self.seen) < count:
                self.arrived.clear()
                await self.arrived.wait()


@asynccontextmanager
async def observing(database: AsyncDatabase[dict[str, Any]], collection: str = "tasks") -> AsyncIterator[Observer]:
    """Yield an observer of what is inserted into a collection from now on."""
    observer = Observer()
    pipeline: list[dict[str, Any]] = [
        {"$match": {"operationType": "insert"}},
        {"$project": {"fullDocument.entity_id": 1}},
    ]
    async with await database[collection].watch(pipeline, max_await_time_ms=_AWAIT_MS) as stream:
        watching = asyncio.create_task(_watch(stream, observer))
        try:
            yield observer
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def own_lag(database: AsyncDatabase[dict[str, Any]]) -> Spread:
    """Return how long after an insert's acknowledgement the observer sees it: part of every latency measured."""
    probe = database["bench_probe"]
    await probe.insert_one({"entity_id": "first"})
    acknowledged: dict[str, float] = {}
    async with observing(database, probe.name) as observer:
        for number in range(_PROBE_COUNT):
            await probe.insert_one({"entity_id": str(number)})
            acknowledged[str(number)] = time.monotonic()
            await asyncio.sleep(_PROBE_S)
        await observer.has_seen(_PROBE_COUNT, 10)
    return spread_of([(observer.seen[key][0] - at) * 1_000 for key, at in acknowledged.items()])


async def _watch(stream: Any, observer: Observer) -> None:
    async for event in stream:
        observer.seen[str(event["fullDocument"]["entity_id"])] = (time.monotonic(), time.time())
        observer.arrived.set()
