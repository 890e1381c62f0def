"""What the tests of the running daemon start from."""

import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.codec import CODEC
from tests.support.bench import Bench, running_bench
from tests.support.entity_writes import lost_entity_writes
from tests.support.invariants import Expected, violations
from tests.support.stage import Stage


@pytest.fixture
async def bench(mongo_uri: str, database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[Bench]:
    """A daemon of its own for the test, reading."""
    async with running_bench(mongo_uri, database) as running:
        yield running


@pytest.fixture
async def alone(shared: Bench, shared_stage: Stage) -> AsyncIterator[Bench]:
    """The shared daemon, without the workflows of tests before, and with nothing called on its stage."""
    shared_stage.calls.clear()
    yield shared
    await shared.clear()


@pytest.fixture(scope="module")
def shared_stage() -> Stage:
    """What the actions ``local``, ``remote`` and ``telling`` of the shared daemon do."""
    return Stage()


@pytest.fixture(scope="module")
async def shared(
    mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]], shared_stage: Stage
) -> AsyncIterator[Bench]:
    """One daemon for all tests of a module that look only at workflows and entities of their own."""
    database = mongo_client.get_database(f"test_{uuid.uuid4().hex[:12]}", codec_options=CODEC)
    since = (await database.command("ping"))["operationTime"]
    async with running_bench(mongo_uri, database, parse_action=shared_stage.parse_action) as running:
        yield running
    broken = await lost_entity_writes(database, since)
    broken += await violations(database, None, Expected(unfinished=sys.maxsize))
    await mongo_client.drop_database(database.name)
    assert broken == []
