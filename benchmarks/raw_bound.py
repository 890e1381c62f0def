"""What the database does by itself: the same documents written in bulk, then the same stream drained into nothing.

Orders: ``{uri, database, count}``. Tells ``{wrote_s, drained_s}``: seconds for leads, ended executions and tasks in
unordered inserts of 500, majority, no transaction; seconds to read the leads' events and throw them away.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import uvloop
from bson import ObjectId

from benchmarks import record
from benchmarks.bound import open_stream
from benchmarks.child import client_of, orders, say, wait_for_word
from benchmarks.record import LANES, Queued
from benchmarks.workload import lead_documents
from daemon.collector import calm_collector

BATCH: Final = 500


async def main() -> None:
    """Write everything, then drain."""
    asked = orders()
    count = asked["count"]
    async with client_of(asked["uri"]) as client:
        database = client[asked["database"]]
        leads = lead_documents(count, 1)
        now = datetime.now(UTC)
        queue = [Queued(ObjectId(), lead["_id"], number % LANES, now) for number, lead in enumerate(leads)]
        tasks = [record.task(each, ObjectId(), now) for each in queue]
        executions = [
            record.ended(record.execution(each, number, now, timedelta(0)), task["_id"], now)
            for number, (each, task) in enumerate(zip(queue, tasks, strict=True))
        ]
        hello = await database.command("hello")
        calm_collector()
        say(ready=True)
        wait_for_word()
        began = time.monotonic()
        for start in range(0, count, BATCH):
            for name, documents in (("leads", leads), ("workflow_executions", executions), ("tasks", tasks)):
                await database[name].insert_many(documents[start : start + BATCH], ordered=False)
        wrote_s = time.monotonic() - began
        async with client.start_session() as session:
            began = time.monotonic()
            cursor, first = await open_stream(database, session, hello["lastWrite"]["majorityOpTime"]["ts"])
            drained = len(first.events)
            while drained < count:
                drained += len((await cursor.next_reply()).events)
            drained_s = time.monotonic() - began
        say(wrote_s=wrote_s, drained_s=drained_s)


if __name__ == "__main__":
    uvloop.run(main())
