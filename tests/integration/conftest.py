"""What the tests of the running daemon start from."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.bench import Bench, running_bench


@pytest.fixture
async def bench(mongo_uri: str, database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[Bench]:
    """A daemon of its own for the test, reading."""
    async with running_bench(mongo_uri, database) as running:
        yield running
