"""The CRM's side, a process of its own: it inserts leads, as a burst or at a steady rate.

Orders: ``{uri, database, count, one_in, rate}``; ``rate`` in leads a second, null for a burst of inserts of 500.
Tells ``{began, acknowledged: [[lead, monotonic]...]}``; the monotonic clock is the same in all processes.
"""

import asyncio
import time
from typing import Any, Final

from pymongo import AsyncMongoClient, MongoClient, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database

from benchmarks.child import client_of, orders, say, wait_for_word
from benchmarks.workload import lead_documents

BATCH: Final = 500
_MAJORITY: Final = WriteConcern(w="majority")


def main() -> None:
    """Insert the leads."""
    asked = orders()
    leads = lead_documents(asked["count"], asked["one_in"])
    if asked["rate"] is None:
        _burst(asked, leads)
    else:
        asyncio.run(_paced(asked, leads))


def _burst(asked: dict[str, Any], leads: list[dict[str, Any]]) -> None:
    client: MongoClient[dict[str, Any]]
    with MongoClient(asked["uri"]) as client:
        database: Database[dict[str, Any]] = client[asked["database"]]
        collection: Collection[dict[str, Any]] = database.get_collection("leads", write_concern=_MAJORITY)
        collection.find_one()
        say(ready=True)
        wait_for_word()
        began = time.monotonic()
        for start in range(0, len(leads), BATCH):
            collection.insert_many(leads[start : start + BATCH], ordered=False)
        say(began=began, ended=time.monotonic(), acknowledged=[])


async def _paced(asked: dict[str, Any], leads: list[dict[str, Any]]) -> None:
    client: AsyncMongoClient[dict[str, Any]]
    async with client_of(asked["uri"]) as client:
        collection = client[asked["database"]]["leads"]
        acknowledged: list[tuple[str, float]] = []

        async def insert(lead: dict[str, Any]) -> None:
            await collection.insert_one(lead)
            acknowledged.append((str(lead["_id"]), time.monotonic()))

        await asyncio.gather(*(collection.find_one() for _ in range(5)))
        say(ready=True)
        wait_for_word()
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, lead in enumerate(leads):
                await asyncio.sleep(max(began + number / asked["rate"] - time.monotonic(), 0))
                tasks.create_task(insert(lead))
        say(began=began, ended=time.monotonic(), acknowledged=acknowledged)


if __name__ == "__main__":
    main()
