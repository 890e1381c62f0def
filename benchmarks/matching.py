"""What workflows cost that cannot match: the same updates beside few and beside many workflows on other fields."""

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.burst import ended
from benchmarks.contender import Arena, Server, daemon, prepared
from benchmarks.program import Program
from benchmarks.workload import lead_documents

_BATCH: Final = 500
_WARM_UP: Final = 500
_TOGGLES: Final = 20
_LOOK_S: Final = 0.002
_WITHIN_S: Final = 300.0
_SWITCHED: Final = ObjectId("bec000000000000000000003")


@dataclass(frozen=True, slots=True)
class MatchingRun:
    """A daemon beside ``workflows`` others: start, memory, a burst of updates, and one switch."""

    workflows: int
    start_s: float
    rss_mb: float
    events_per_s: float
    own_us: float
    toggle_ms: float
    toggle_cpu_ms: float


async def matching(server: Server, workflows: int, updates: int) -> MatchingRun:
    """Return what ``updates`` of a field cost that one workflow looks at, and ``workflows`` others do not."""
    async with prepared(server) as database:
        await _fill(database, workflows, updates)
        directory = server.directory / database.name
        async with daemon(server, database.name, directory) as program:
            await _update(Arena(server, database, (program,)), 0, _WARM_UP)
        await _touch(database, _WARM_UP, 2 * _WARM_UP)  # while it is down: the first it takes in tells that it is up
        start_s = time.monotonic()
        async with daemon(server, database.name, directory / "again") as program:
            stage = Arena(server, database, (program,))
            await ended(stage, 2 * _WARM_UP)
            start_s = time.monotonic() - start_s
            await asyncio.sleep(3)
            rss_mb = stage.rss_mb()
            own, took = stage.cpu_s(), time.monotonic()
            await _update(stage, 2 * _WARM_UP, 2 * _WARM_UP + updates)
            own, took = stage.cpu_s() - own, time.monotonic() - took
            toggle_ms, toggle_cpu_ms = await _toggles(database, program)
            return MatchingRun(
                workflows, start_s, rss_mb, updates / took, own / updates * 1e6, toggle_ms, toggle_cpu_ms
            )


async def _fill(database: AsyncDatabase[dict[str, Any]], workflows: int, updates: int) -> None:
    documents = [_workflow(number, f"field_{number}") for number in range(workflows)]
    documents[0]["_id"] = _SWITCHED
    documents.append(_workflow(workflows, "stage"))
    leads = lead_documents(2 * _WARM_UP + updates, 2)
    for number, lead in enumerate(leads):
        lead["number"] = number
    for name, collection in (("workflows", documents), ("leads", leads)):
        for first in range(0, len(collection), _BATCH):
            await database[name].insert_many(collection[first : first + _BATCH], ordered=False)
    await database["leads"].create_index("number")


def _workflow(number: int, field: str) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"Number {number}",
        "trigger": {"type": "field_updated", "entity_type": "lead", "field": field},
        "conditions": [{"field": "budget", "operator": "greater_than", "value": 1}],
        "actions": [{"type": "create_task", "title": f"Look at {number}"}],
        "status": "active",
    }


async def _update(stage: Arena, first: int, last: int) -> None:
    """Update leads as fast as they are acknowledged, and return once the last has been acted on."""
    await _touch(stage.database, first, last)
    await ended(stage, last)


async def _touch(database: AsyncDatabase[dict[str, Any]], first: int, last: int) -> None:
    for start in range(first, last, _BATCH):
        numbers = range(start, min(start + _BATCH, last))
        updates = [UpdateOne({"number": number}, {"$set": {"stage": f"at {number}"}}) for number in numbers]
        await database["leads"].bulk_write(updates, ordered=False)


async def _toggles(database: AsyncDatabase[dict[str, Any]], program: Program) -> tuple[float, float]:
    """Return how long a switch takes until it is answered, the median in ms, and the daemon's CPU ms for one."""
    took: list[float] = []
    own = program.cpu_s()
    for number in range(_TOGGLES):
        status = "active" if number % 2 else "paused"
        await database["workflows"].update_one({"_id": _SWITCHED}, {"$set": {"status": status}})
        began = time.monotonic()
        await _answered(database, status)
        took.append((time.monotonic() - began) * 1e3)
    return median(took), (program.cpu_s() - own) / _TOGGLES * 1e3


async def _answered(database: AsyncDatabase[dict[str, Any]], status: str) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while True:
            if await database["workflows"].find_one({"_id": _SWITCHED, "observed.state": status}, {"_id": 1}):
                return
            await asyncio.sleep(_LOOK_S)
