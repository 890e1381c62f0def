"""A day's worth of leads at once: everything is done, recorded and counted, and memory stays flat."""

import gc
from pathlib import Path
from typing import Any, Final

import psutil
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.initialise import initialise
from tests.support.bench import created, running_bench, workflow_document
from tests.support.invariants import violations
from tests.support.poll import eventually
from tests.support.replica import Replica, first_start, replicas_ended
from tests.support.settings import settings_for
from tests.support.watchdog import watched_loop

Database = AsyncDatabase[dict[str, Any]]
LEADS: Final = 5_000  # of each half
MEGABYTE: Final = 1024 * 1024


async def write_leads(database: Database) -> None:
    for _ in range(LEADS // 1_000):
        await database.leads.insert_many([{"name": "Ada", "source": "website_form"} for _ in range(1_000)])


async def test_ten_thousand_leads_at_once_are_all_done_and_memory_stays_flat(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    await initialise(database, settings_for(mongo_uri, database.name))
    await database.workflows.delete_many({})
    # A condition on the step keeps it out of intake's short way: it is queued and run as any other.
    step = {"type": "create_task", "conditions": [{"field": "name", "operator": "equals", "value": "Ada"}]}
    workflow = workflow_document(created(), actions=[step])
    await database.workflows.insert_one(workflow)
    replica = Replica(mongo_uri, database.name, tmp_path, "busy")
    async with replicas_ended(replica):
        await first_start(replica, database)
        process = psutil.Process(replica.process.pid)

        async def completed() -> int:
            return await database.workflow_executions.count_documents({"status": "completed"})

        async def all_done(count: int) -> bool:
            done = await completed()
            assert done == count, done
            return True

        await write_leads(database)
        await eventually(lambda: all_done(LEADS), every_s=0.2)
        before = process.memory_info().rss
        await write_leads(database)
        await eventually(lambda: all_done(2 * LEADS), every_s=0.2)
        grown = process.memory_info().rss - before
        print(f"memory grew by {grown / MEGABYTE:.1f} MB to {process.memory_info().rss / MEGABYTE:.0f} MB")  # noqa: T201
        assert grown < 50 * MEGABYTE

        async def is_mirrored() -> bool:
            found = await database.workflows.find_one({"_id": workflow["_id"]}) or {}
            return (found.get("execution_count"), found.get("success_count")) == (2 * LEADS, 2 * LEADS)

        await eventually(is_mirrored)
        assert await database.tasks.count_documents({}) == 2 * LEADS
    assert await violations(database) == []


async def test_a_burst_does_not_stall_the_event_loop(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database) as bench:
        step = {"type": "create_task", "conditions": [{"field": "name", "operator": "equals", "value": "Ada"}]}
        workflow_id = await bench.add(created(), actions=[step])
        await bench.taken_in()
        gc.freeze()  # as the process does when it has started: what the tests have loaded is not to be looked through
        async with watched_loop() as watchdog:
            await bench.leads.insert_many([{"name": "Ada"} for _ in range(2_000)])

            async def is_done() -> bool:
                found = {"workflow_id": workflow_id, "status": "completed"}
                return await bench.executions.count_documents(found) == 2_000

            await eventually(is_done, every_s=0.1)
        gc.unfreeze()
        print(f"longest stall {watchdog.longest_cpu_s * 1000:.0f} ms")  # noqa: T201
        assert watchdog.longest_cpu_s < 0.1
