"""The fixtures every test may use: one real MongoDB a session and worker, one fresh database a test."""

import gc
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from daemon.collector import calm_collector
from daemon.mongo.codec import CODEC
from daemon.mongo.transaction import end_sessions
from tests.support.entity_writes import lost_entity_writes
from tests.support.events import Events, heard_events
from tests.support.invariants import Expected, violations
from tests.support.mongod import Mongod, fast_directory


def pytest_collection_finish() -> None:
    """Collect garbage as the daemon does: a look through all that pytest holds stops the event loop for 0.7 s."""
    gc.collect()
    calm_collector()


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[Mongod]:
    """One running single-node replica set; it is ended by its process id, also when tests fail."""
    with fast_directory() as directory:
        server = Mongod(directory)
        try:
            server.start()
            yield server
        finally:
            server.kill()  # nobody needs the data any more


@pytest.fixture(scope="session")
def mongo_uri(mongo_server: Mongod) -> str:
    return mongo_server.uri


@pytest.fixture(scope="session")
async def mongo_client(mongo_uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """One client for the tests' own reads and writes."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_uri, w="majority", tz_aware=True)
    yield client
    await client.close()


@pytest.fixture
async def events() -> AsyncIterator[Events]:
    """What the daemons of this process say while the test runs."""
    with heard_events() as heard:
        yield heard


@pytest.fixture
async def database(
    mongo_client: AsyncMongoClient[dict[str, Any]], request: pytest.FixtureRequest
) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """A fresh database with a name of its own, dropped afterwards; whatever was done in it, the invariants hold.

    A test that breaks one by hand says so: ``@pytest.mark.tampers``.
    """
    fresh = mongo_client.get_database(f"test_{uuid.uuid4().hex[:12]}", codec_options=CODEC)
    since = (await fresh.command("ping"))["operationTime"]
    yield fresh
    broken: list[str] = []
    if request.node.get_closest_marker("tampers") is None:
        broken = await violations(fresh, None, Expected(unfinished=sys.maxsize))
        broken += await lost_entity_writes(fresh, since)
    await _end_transactions(mongo_client)
    await mongo_client.drop_database(fresh.name)
    assert broken == []


async def _end_transactions(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """Abort what daemons that were killed have left open: a drop waits for its locks, for over a minute."""
    is_open: dict[str, Any] = {"transaction": {"$exists": True}}
    found = await client.admin.aggregate([{"$currentOp": {"idleSessions": True}}, {"$match": is_open}])
    sessions = [{"id": each["lsid"]["id"]} async for each in found]
    await end_sessions(client, sessions)
