"""Promise 10 of the process as shipped: an orderly stop hands everything over at once; MongoDB may come and go."""

import asyncio
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.invariants import violations
from tests.support.load import prepared_load
from tests.support.mongod import Mongod
from tests.support.replica import Replica, first_start, replicas_ended

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Mongod]:
    """A server that a test may restart."""
    server = Mongod(tmp_path / "mongod")
    server.start()
    yield server
    server.stop()


async def test_a_stop_under_load_exits_with_zero_and_leaves_no_lease(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    replica = Replica(mongo_uri, database.name, tmp_path, "stopping")
    async with replicas_ended(replica):
        await first_start(replica, database)
        await load.write(100)
        (started,) = replica.lines("reader.started")
        assert datetime.fromisoformat(started["reflexd.position"]) <= datetime.now(UTC)
        assert await replica.stop() == 0
        assert await database.workflow_state.count_documents({"kind": "lease", "holder": {"$ne": None}}) == 0
        await replica.start()
        await load.done()
    assert await violations(database, load.since, load.expected()) == []


async def test_a_new_daemon_has_all_leases_when_it_has_started_after_an_orderly_stop(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    first = Replica(mongo_uri, database.name, tmp_path, "first")
    second = Replica(mongo_uri, database.name, tmp_path, "second")
    async with replicas_ended(first, second):
        await first_start(first, database)
        await load.write(1)
        await load.done()
        await first.stop()
        await load.write(1)
        await second.start("--no-init")
        await load.done()
    said = [line["event.action"] for line in second.lines()]
    assert said.index("lease.acquired") < said.index("daemon.started")
    (acquired,) = second.lines("lease.acquired")
    assert len(acquired["reflexd.leases"]) == 32 + 1


async def test_a_second_signal_ends_the_process_at_once(mongo_uri: str, database: Database, tmp_path: Path) -> None:
    await prepared_load(database)
    replica = Replica(mongo_uri, database.name, tmp_path, "impatient")
    async with replicas_ended(replica):
        await first_start(replica, database)
        await database.client.admin.command(
            {
                "configureFailPoint": "failCommand",
                "mode": "alwaysOn",
                "data": {
                    "failCommands": ["update", "delete"],
                    "blockConnection": True,
                    "blockTimeMS": 10_000,
                    "appName": "reflexd-daemon",
                },
            }
        )
        try:
            replica.signal(signal.SIGTERM)
            await replica.said("daemon.stopping")
            replica.signal(signal.SIGTERM)
            assert await replica.ended() == 128 + signal.SIGTERM  # one that goes in good order ends with 0
        finally:
            await database.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.mark.parametrize("is_orderly", [True, False])
async def test_a_daemon_outlives_a_restart_of_mongodb(own_server: Mongod, tmp_path: Path, is_orderly: bool) -> None:
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(own_server.uri, w="majority", tz_aware=True) as client:
        database: Database = client.get_database("crm")
        load = await prepared_load(database)
        replica = Replica(own_server.uri, "crm", tmp_path, "patient", lease_s=2)
        async with replicas_ended(replica):
            await first_start(replica, database)
            await load.write(50)
            if is_orderly:
                await asyncio.to_thread(own_server.stop)
            else:
                await asyncio.to_thread(own_server.kill)
            await replica.said("lease.lost")
            await asyncio.to_thread(own_server.start)
            await load.write(50)
            await load.done()
            assert replica.is_alive
            assert await replica.stop() == 0
        assert await violations(database, load.since, load.expected()) == []
