"""Whether the daemon's event loop stands still when admins do the utmost: switches as fast as MongoDB takes them, and
workflows as large as they may be, many saved at once.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.contender import Server, daemon, prepared
from benchmarks.program import Program

_BATCH: Final = 500
_SWITCHED: Final = 200  # workflows that are switched in turn
_LOOK_S: Final = 0.05
_WITHIN_S: Final = 900.0
_CREATED: Final = {"type": "entity_created", "entity_type": "lead"}
_TASK: Final = {"type": "create_task"}
_DEEPEST: Final = 17  # groups in one another: with the document and the innermost condition, 20 levels


@dataclass(frozen=True, slots=True)
class StallRun:
    """How long the loop stood still at the most: by the clock and by processor time, and where; and what was done."""

    name: str
    count: int
    written_per_s: float
    taken_per_s: float
    wall_ms: float
    cpu_ms: float
    where: str
    rss_before_mb: float
    rss_after_mb: float


async def toggles(server: Server, count: int) -> StallRun:
    """Return what ``count`` switches do, written as fast as they are acknowledged."""
    documents = [_workflow(number) for number in range(_SWITCHED)]
    switches = [
        UpdateOne(
            {"_id": documents[number % _SWITCHED]["_id"]},
            {"$set": {"status": ("paused", "active")[number // _SWITCHED % 2]}},
        )
        for number in range(count)
    ]
    return await _stalls(server, f"{count:,} switches", documents, switches)


async def largest(server: Server, workflows: int, rounds: int) -> StallRun:
    """Return what it does to save ``workflows`` of the largest workflows allowed, ``rounds`` times, all at once."""
    documents = [largest_workflow(number) for number in range(workflows)]
    edits = [
        UpdateOne({"_id": document["_id"]}, {"$set": {"description": document["description"][:-1] + f"{number}"}})
        for number in range(rounds)
        for document in documents
    ]
    return await _stalls(server, f"{workflows * rounds:,} edits at every limit", documents, edits)


def largest_workflow(number: int) -> dict[str, Any]:
    """Return a workflow of nearly 256 KB, 1,000 conditions and a depth of 20."""
    deep: dict[str, Any] = {"field": "source", "operator": "equals", "value": "website_form"}
    for _ in range(_DEEPEST):
        deep = {"all": [deep]}
    flat = [
        {"field": f"field_{each}.name", "operator": "matches", "value": f"^{each}[a-z]+(one|two){{1,3}}.*$"}
        for each in range(1_000 - _DEEPEST - 1)
    ]
    document = {**_workflow(number), "conditions": [deep, *flat]}
    size = 256 * 1024 - 2_000 - 130 * len(flat)
    return {**document, "description": "x" * max(size, 0)}


async def _stalls(server: Server, name: str, documents: list[dict[str, Any]], writes: list[UpdateOne]) -> StallRun:
    async with (
        prepared(server) as database,
        daemon(server, database.name, server.directory / database.name, module="benchmarks.watched") as program,
    ):
        await asyncio.sleep(1)
        await _asked(program)
        rss_before_mb = program.rss_mb()
        began = time.monotonic()
        await database["workflows"].insert_many(documents)
        for first in range(0, len(writes), _BATCH):
            await database["workflows"].bulk_write(writes[first : first + _BATCH])
        wrote_s = time.monotonic() - began
        await _taken_in(database, program)
        took_s = time.monotonic() - began
        told = await _asked(program)
        return StallRun(
            name,
            len(writes),
            len(writes) / wrote_s,
            len(writes) / took_s,
            told["wall_ms"],
            told["cpu_ms"],
            told["where"],
            rss_before_mb,
            program.rss_mb(),
        )


async def _asked(program: Program) -> dict[str, Any]:
    await program.give_word()
    return await program.heard()


async def _taken_in(database: AsyncDatabase[dict[str, Any]], program: Program) -> None:
    """Return once a workflow saved after all others is answered."""
    marker = ObjectId()
    await database["workflows"].insert_one({**_workflow(-1), "_id": marker})
    async with asyncio.timeout(_WITHIN_S):
        while True:
            program.raise_if_ended()
            if await database["workflows"].find_one({"_id": marker, "observed.state": "active"}, {"_id": 1}):
                return
            await asyncio.sleep(_LOOK_S)


def _workflow(number: int) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"Number {number}",
        "description": "",
        "trigger": _CREATED,
        "conditions": [],
        "actions": [_TASK],
        "status": "active",
    }
