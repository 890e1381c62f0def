"""How soon replicas stand in for one another: ``python -m benchmarks.takeover``, under a minute.

Two replicas as they ship, with the default lease: how late work starts that the reader leaves to the other one, and how
long nobody works after an orderly stop and after a kill. A machine that does something else as well tells nothing.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.place import served
from daemon.mongo.codec import CODEC
from tests.support.load import Load, prepared_load
from tests.support.poll import eventually
from tests.support.replica import Replica, replicas_ended

LEADS: Final = 400
PACE_S: Final = 0.01
_SHARED: Final = 2
Database = AsyncDatabase[dict[str, Any]]


async def measured(uri: str, directory: Path) -> dict[str, float]:
    """Return every figure by its name, in seconds."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, w="majority", tz_aware=True)
    async with client:
        load = await prepared_load(client.get_database("takeover", codec_options=CODEC))
        first, second, third = (Replica(uri, "takeover", directory, name) for name in ("first", "second", "third"))
        async with replicas_ended(first, second, third):
            await first.start()
            await second.start()
            await eventually(lambda: _is_shared(load.database))
            late = await _late_elsewhere(load)
            figures = {
                "work of another replica, median": _at(late, 0.5),
                "work of another replica, p99": _at(late, 0.99),
            }
            began = time.monotonic()
            assert await first.stop() == 0
            figures["after an orderly stop"] = await _until_all_work(load) - began
            began = time.monotonic()
            second.kill()
            await third.start()
            figures["after a kill (a lease of 6 s)"] = await _until_all_work(load) - began
        return figures


async def _late_elsewhere(load: Load) -> list[float]:
    """Return after how many seconds executions of other replicas than the reader began, in order."""
    for _ in range(LEADS):
        await load.write(1)
        await asyncio.sleep(PACE_S)
    await load.done()
    reader = await load.database.workflow_state.find_one({"_id": "lease/reader"}) or {}
    elsewhere = {"kind": "lease", "holder": {"$ne": reader["holder"]}, "name": {"$ne": "reader"}}
    leases = load.database.workflow_state.find(elsewhere)
    lanes = [int(lease["name"].removeprefix("lane/")) async for lease in leases]
    runs = load.database.workflow_executions.find({"lane": {"$in": lanes}, "trigger.kind": "created"})
    return sorted([(run["started_at"] - run["triggered_at"]).total_seconds() async for run in runs])


async def _until_all_work(load: Load) -> float:
    """Return the monotonic time in seconds at which leads of many lanes had been worked for."""
    leads = await load.write(50)
    found = {"triggered_by_entity_id": {"$in": leads}, "started_at": {"$type": "date"}}

    async def all_have_begun() -> bool:
        begun = await load.database.workflow_executions.distinct("triggered_by_entity_id", found)
        return len(begun) == len(leads)

    await eventually(all_have_begun, every_s=0.01)
    return time.monotonic()


async def _is_shared(database: Database) -> bool:
    leases = {"kind": "lease", "name": {"$ne": "reader"}, "holder": {"$ne": None}}
    return len(await database.workflow_state.distinct("holder", leases)) == _SHARED


def _at(values: Sequence[float], share: float) -> float:
    return values[math.ceil(len(values) * share) - 1]


def main() -> None:
    """Print the figures."""
    with served() as server:
        for name, seconds in asyncio.run(measured(server.uri, server.directory)).items():
            print(f"{seconds:8.3f} s  {name}")  # noqa: T201


if __name__ == "__main__":
    main()
