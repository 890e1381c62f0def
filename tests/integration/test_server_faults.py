"""Servers that step down, die, freeze or answer with errors: nothing lost, nothing doubled, and the daemon stays up."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.codec import CODEC
from tests.support.commits import committed
from tests.support.daemon import running_daemon
from tests.support.invariants import violations
from tests.support.load import Load, prepared_load
from tests.support.mongod import Mongod
from tests.support.poll import eventually
from tests.support.replica import Replica
from tests.support.replica_set import ReplicaSet, running_replica_set
from tests.support.survivor import AWAY, LEASE_S, replica_on, settled
from tests.support.tcp_proxy import Network, TcpProxy, running_proxy

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture(scope="module")
async def replica_set(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReplicaSet]:
    async with running_replica_set(tmp_path_factory.mktemp("replica_set")) as running:
        yield running


@pytest.fixture
async def remote(replica_set: ReplicaSet) -> AsyncIterator[Database]:
    """A fresh database on three nodes that are all well."""
    await replica_set.healthy()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        replica_set.uri, w="majority", tz_aware=True, serverSelectionTimeoutMS=2_000, timeoutMS=5_000
    )
    yield client.get_database(f"test_{uuid.uuid4().hex[:12]}", codec_options=CODEC)
    await client.close()


async def test_two_stepdowns_during_100_writes_lose_and_double_nothing(
    replica_set: ReplicaSet, remote: Database, tmp_path: Path
) -> None:
    load = await prepared_load(remote)
    async with replica_on(replica_set.uri, load, tmp_path):
        writing = asyncio.create_task(load.write(100))
        for written in (25, 60):
            await load.written(written)
            await replica_set.step_down()
        await writing
        await settled(load)


async def test_a_killed_primary_costs_seconds_and_nothing_else(
    replica_set: ReplicaSet, remote: Database, tmp_path: Path
) -> None:
    load = await prepared_load(remote)
    async with replica_on(replica_set.uri, load, tmp_path):
        writing = asyncio.create_task(load.write(100))
        await load.written(30)
        await replica_set.kill_primary()
        await writing
        await settled(load)


async def test_the_daemon_outlives_a_restart_of_all_nodes_at_once(
    replica_set: ReplicaSet, remote: Database, tmp_path: Path
) -> None:
    load = await prepared_load(remote)
    async with replica_on(replica_set.uri, load, tmp_path, reason=AWAY) as replica:
        await load.write(30)
        await replica_set.kill_all()
        await replica.said("store.unavailable", len(replica.lines("store.unavailable")) + 1)
        await replica_set.healthy()
        await load.write(30)
        await settled(load)


async def test_the_daemon_outlives_a_restart_of_all_nodes_one_by_one(
    replica_set: ReplicaSet, remote: Database, tmp_path: Path
) -> None:
    load = await prepared_load(remote)
    async with replica_on(replica_set.uri, load, tmp_path):
        writing = asyncio.create_task(load.write(100))
        for node in replica_set.nodes:
            await asyncio.to_thread(node.stop)
            await replica_set.healthy()
        await writing
        await settled(load)


FAILURES: Final[Mapping[str, Mapping[str, Any]]] = {
    "getMore and aggregate, not primary": {"failCommands": ["getMore", "aggregate"], "errorCode": 10107},
    "getMore and aggregate, cut": {"failCommands": ["getMore", "aggregate"], "closeConnection": True},
    "getMore, cursor not found": {"failCommands": ["getMore"], "errorCode": 43},
    "getMore, cursor killed": {"failCommands": ["getMore"], "errorCode": 237},
    "insert, cut": {"failCommands": ["insert"], "closeConnection": True},
    "insert, write conflict": {
        "failCommands": ["insert"],
        "errorCode": 112,
        "errorLabels": ["TransientTransactionError"],
    },
    "update, stepped down": {"failCommands": ["update"], "errorCode": 189},
    "update, cut": {"failCommands": ["update"], "closeConnection": True},
    "commit, cut": {"failCommands": ["commitTransaction"], "closeConnection": True},
    "commit, unknown": {
        "failCommands": ["commitTransaction"],
        "errorCode": 64,
        "errorLabels": ["UnknownTransactionCommitResult"],
    },
    "commit, done but not acknowledged": {
        "failCommands": ["commitTransaction"],
        "writeConcernError": {"code": 91, "errmsg": "shutting down"},
    },
    "find, exceeded time limit": {"failCommands": ["find"], "errorCode": 262},
    "find, for no reason told": {"failCommands": ["find"], "errorCode": 1},
    "find, a code of no list": {"failCommands": ["find"], "errorCode": 8000},
    "aggregate, for no reason told": {"failCommands": ["aggregate"], "errorCode": 8},
    "update, for no reason told": {"failCommands": ["update"], "errorCode": 8},
    "insert, out of disk space": {"failCommands": ["insert"], "errorCode": 14031},
}


@pytest.fixture(scope="module")
async def under_fire(mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[Load]:
    """A daemon that lives through all failures; at the end everything holds, and none of its connections is left."""
    database = mongo_client.get_database(f"test_{uuid.uuid4().hex[:12]}", codec_options=CODEC)
    load = await prepared_load(database)
    async with running_daemon(mongo_uri, database.name, lease_s=LEASE_S):
        await committed(database, lambda: database.workflow_state.find_one({"_id": "checkpoint"}))
        yield load
        await settled(load)
    await eventually(lambda: has_no_connection(database))
    await mongo_client.drop_database(database.name)


@pytest.mark.parametrize("failure", FAILURES)
async def test_errors_of_the_server_lose_and_double_nothing(failure: str, under_fire: Load) -> None:
    client = "reflexd-test-reader" if failure.startswith("getMore") else "reflexd-test"
    data = {**FAILURES[failure], "appName": client}
    async with failing(under_fire.database, data, times=4):
        await under_fire.write(10)
        await under_fire.done()
    assert await violations(under_fire.database, None, under_fire.expected()) == []


async def has_no_connection(database: Database) -> bool:
    """Return whether no connection of a daemon in this process is left (I7); else fail."""
    stages: list[Mapping[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleConnections": True}},
        {"$match": {"appName": {"$regex": "^reflexd-test"}}},
    ]
    found = await (await database.client.admin.aggregate(stages)).to_list()
    assert not found, [each["client"] for each in found]
    return True


@asynccontextmanager
async def failing(database: Database, data: Mapping[str, Any], times: int) -> AsyncIterator[None]:
    """Let the server answer some commands with a failure, the next ``times`` of them."""
    command = {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data}
    await database.client.admin.command(command)
    try:
        yield
    finally:
        await database.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
async def proxy(mongo_server: Mongod) -> AsyncIterator[TcpProxy]:
    async with running_proxy(mongo_server.port) as running:
        yield running


@pytest.mark.parametrize("network", [Network.BLACK_HOLE, Network.HALF_OPEN])
async def test_a_silent_network_is_noticed_and_outlived(
    network: Network, proxy: TcpProxy, mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&socketTimeoutMS=3000&connectTimeoutMS=2000"
    async with replica_on(uri, load, tmp_path, reason=AWAY) as replica:
        await load.write(10)
        proxy.network = network
        await load.write(10)
        await replica.said("lease.lost")
        other = Replica(mongo_uri, database.name, tmp_path, "other", lease_s=LEASE_S)
        try:
            await other.start()
            await load.write(10)
            await settled(load)
            proxy.heal()
            await committed(database, lambda: held_lanes(database, "replica"))
            await load.write(10)
            await settled(load)
        finally:
            other.kill()


async def held_lanes(database: Database, replica: str) -> Sequence[Any]:
    """Return the lanes that a replica holds."""
    return await database.workflow_state.find({"kind": "lease", "holder": replica, "name": {"$ne": "reader"}}).to_list()
