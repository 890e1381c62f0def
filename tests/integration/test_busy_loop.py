"""A busy event loop starves no renewal: where every turn of it is long and none is idle, no lease is lost."""

import asyncio
import time
from typing import Any, Final

import pymongo
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from daemon.event import Event
from tests.support.bench import created, running_bench
from tests.support.commits import committed
from tests.support.daemon import reading, running_daemon
from tests.support.events import Events
from tests.support.invariants import violations
from tests.support.load import prepared_load
from tests.support.stage import Stage

Database = AsyncDatabase[dict[str, Any]]

LEASE_S: Final = 20.0  # on a busy machine each turn takes several times as long as it works
TURN_S: Final = 0.01  # of processor time
RENEWALS: Final = 1
LEASES: Final = {"kind": "lease"}


async def keep_busy(is_over: asyncio.Event) -> None:
    """Be at work in every turn of the loop; no turn waits for anything."""
    while not is_over.is_set():
        until = time.thread_time() + TURN_S
        while time.thread_time() < until:
            pass
        await asyncio.sleep(0)


async def test_no_lease_is_lost_while_the_loop_has_work_without_end(
    mongo_uri: str, database: Database, events: Events
) -> None:
    load = await prepared_load(database)
    async with running_daemon(mongo_uri, database.name, lease_s=LEASE_S) as daemon:
        await reading(daemon)
        epochs = await database.workflow_state.distinct("epoch", LEASES)
        is_over = asyncio.Event()
        busy = asyncio.create_task(keep_busy(is_over))
        writing = asyncio.create_task(load.write(20))
        for _ in range(RENEWALS):
            before = max(await database.workflow_state.distinct("expires_at", LEASES))

            async def are_renewed(before: Any = before) -> bool:
                return bool(min(await database.workflow_state.distinct("expires_at", LEASES)) > before)

            await committed(database, are_renewed)
        is_over.set()
        await busy
        await writing
        await load.done()
        assert await database.workflow_state.distinct("epoch", LEASES) == epochs
        assert events.of(Event.LEASE_LOST) == []
    assert await violations(database, load.since, load.expected()) == []


async def test_a_loop_that_stood_still_for_a_lease_starts_nothing(
    mongo_uri: str, database: Database, events: Events
) -> None:
    """Somebody else had the leases meanwhile; a step that came due runs when they have come back, and not before."""
    stage = Stage()
    epochs_at_start: list[int] = []
    leases = pymongo.MongoClient[dict[str, Any]](mongo_uri)[database.name]["workflow_state"]

    async def note(context: Any) -> Any:
        epochs_at_start.append(min(leases.distinct("epoch", LEASES)))
        return await Stage().perform("noted", context)

    stage.plays("local", note)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action, lease_s=1) as bench:
        workflow = await bench.add(created(), actions=[{"type": "local", "delay": 0.5}])
        epoch = max(await database.workflow_state.distinct("epoch", LEASES))
        await bench.leads.insert_one({"_id": ObjectId()})
        await bench.taken_in()
        with leases.database.client:
            time.sleep(1)  # noqa: ASYNC251 - the fault: nothing else runs meanwhile
            theirs = {
                "holder": "somebody else",
                "expires_at": {"$add": ["$$NOW", 1_000]},
                "epoch": {"$add": ["$epoch", 1]},
            }
            leases.update_many(LEASES, [{"$set": theirs}])
            await bench.ended(workflow, 1)
    assert epochs_at_start == [epoch + 2]
    assert events.of(Event.LEASE_LOST)
