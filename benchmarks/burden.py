"""What following its changes costs the CRM: its own updates alone, beside a bare consumer, beside the daemon."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.contender import Server, child, daemon, prepared
from benchmarks.figures import Spread, spread_of
from benchmarks.program import Program
from benchmarks.workload import lead_documents

LEADS: Final = 5_000
_THREADS: Final = 4
_WITHIN_S: Final = 300.0
_WORKFLOW: Final = {
    "_id": ObjectId("bec000000000000000000002"),
    "name": "Look at stages",
    "trigger": {"type": "field_updated", "entity_type": "lead", "field": "stage"},
    "conditions": [{"field": "stage", "operator": "equals", "value": "won"}],
    "actions": [{"type": "create_task"}],
    "status": "active",
}


class Neighbour(StrEnum):
    """Who follows the changes meanwhile."""

    NOBODY = "nobody, images on"
    CONSUMER = "a bare consumer of the same stream"
    DAEMON = "reflexd, one workflow that does not match"


@dataclass(frozen=True, slots=True)
class BurdenRun:
    """One run: the CRM's updates a second and their latencies; processor microseconds of both for an update.

    ``behind_s`` is how long after the last update the daemon has recorded the last of them; 0 for the others.
    """

    updates_per_s: float
    latency: Spread
    own_us: float
    mongod_us: float
    behind_s: float


async def burden(server: Server, neighbour: Neighbour, rate: float | None, seconds: float) -> BurdenRun:
    """Return what the CRM's updates are worth beside ``neighbour``; raise RuntimeError if one was not recorded.

    ``rate`` in updates a second; None: as fast as they are acknowledged.
    """
    async with prepared(server) as database:
        await database["leads"].insert_many(lead_documents(LEADS, 10), ordered=False)
        await database["workflows"].insert_one(dict(_WORKFLOW))
        async with (
            _beside(server, neighbour, database) as program,
            child(server, "updater", database.name, seconds=seconds, threads=_THREADS, rate=rate) as updater,
        ):
            own, mongod = program.cpu_s() if program else 0.0, server.cpu_s()
            await updater.give_word()
            told = await updater.heard()
            ended_at = time.monotonic()
            if neighbour is Neighbour.DAEMON:
                await _recorded(database, told["updates"])
            behind_s = time.monotonic() - ended_at
            own, mongod = (program.cpu_s() if program else 0.0) - own, server.cpu_s() - mongod
            updates = told["updates"]
            return BurdenRun(
                updates / told["took_s"],
                spread_of(told["latencies_ms"]),
                own / updates * 1e6,
                mongod / updates * 1e6,
                behind_s if neighbour is Neighbour.DAEMON else 0.0,
            )


@asynccontextmanager
async def _beside(
    server: Server, neighbour: Neighbour, database: AsyncDatabase[dict[str, Any]]
) -> AsyncIterator[Program | None]:
    match neighbour:
        case Neighbour.NOBODY:
            yield None
        case Neighbour.CONSUMER:
            async with child(server, "consumer", database.name) as program:
                yield program
        case Neighbour.DAEMON:
            async with daemon(server, database.name, server.directory / database.name) as program:
                yield program


async def _recorded(database: AsyncDatabase[dict[str, Any]], updates: int) -> None:
    """Return once there is a decision for each update: none was lost, and the daemon is no longer behind."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            found = await database["workflow_decisions"].count_documents({})
            if found > updates:
                raise RuntimeError(f"{found} decisions for {updates} updates")
            if found == updates:
                return
            await asyncio.sleep(0.05)
