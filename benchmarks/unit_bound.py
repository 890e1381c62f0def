"""The least that steps on entities cost: transactions of 100 units, each three writes, one after another.

Orders: ``{uri, database, count}``. A unit is the compare-and-set on its execution, the update of its lead, and its
part of the cause record and the counters. Leads and executions are there before the measurement; nobody reads a
stream. Tells ``{began, ended}``.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import uvloop
from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern

from benchmarks import record
from benchmarks.child import client_of, orders, say, wait_for_word
from benchmarks.record import LANES, Queued
from benchmarks.workload import NEW_VALUE, lead_documents
from daemon.collector import calm_collector

UNITS: Final = 100
_INSERT_BATCH: Final = 1_000


async def main() -> None:
    """Prepare, wait for the word, run all units."""
    asked = orders()
    async with client_of(asked["uri"]) as client:
        database = client[asked["database"]]
        now = datetime.now(UTC)
        leads = lead_documents(asked["count"], 1)
        queue = [Queued(ObjectId(), lead["_id"], number % LANES, now) for number, lead in enumerate(leads)]
        executions = [record.execution(each, number, now, timedelta(0)) for number, each in enumerate(queue)]
        for name, documents in (("leads", leads), ("workflow_executions", executions)):
            for start in range(0, len(documents), _INSERT_BATCH):
                await database[name].insert_many(documents[start : start + _INSERT_BATCH], ordered=False)
        del leads, executions
        calm_collector()
        say(ready=True)
        wait_for_word()
        began = time.monotonic()
        async with client.start_session() as session:
            for start in range(0, len(queue), UNITS):
                await _run(database, queue[start : start + UNITS], session)
        say(began=began, ended=time.monotonic())


async def _run(database: Any, batch: list[Queued], session: AsyncClientSession) -> None:
    now = datetime.now(UTC)
    moves = [record.finish(each, "pending", each.execution_id, now) for each in batch]
    causes = [
        {"entity_type": "lead", "entity_id": each.lead_id, "execution_id": each.execution_id, "depth": 1, "chain": []}
        for each in batch
    ]
    updates = [UpdateOne({"_id": each.lead_id}, {"$set": {"stage": NEW_VALUE}}) for each in batch]
    counts = record.counters(batch, now)

    async def write(session: AsyncClientSession) -> None:
        await database["workflow_executions"].bulk_write(moves, ordered=False, session=session)
        await database["workflow_effects"].insert_one({"causes": causes, "at": now}, session=session)
        await database["leads"].bulk_write(updates, ordered=False, session=session)
        await database["workflow_state"].bulk_write(counts, ordered=False, session=session)

    await session.with_transaction(write, read_concern=ReadConcern("snapshot"))


if __name__ == "__main__":
    uvloop.run(main())
