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
from tests.support.invariants import Expected, violations


@pytest.fixture
async def bench(mongo_uri: str, database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[Bench]:
    """A daemon of its own for the test, reading."""
    async with running_bench(mongo_uri, database) as running:
        yield running


@pytest.fixture(scope="module")
async def shared(mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[Bench]:
    """One daemon for all tests of a module that look only at workflows and entities of their own."""
    database = mongo_client.get_database(f"test_{uuid.uuid4().hex[:12]}", codec_options=CODEC)
    async with running_bench(mongo_uri, database) as running:
        yield running
    broken = await violations(database, None, Expected(unfinished=sys.maxsize))
    await mongo_client.drop_database(database.name)
    assert broken == []
