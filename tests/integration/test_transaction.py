"""Transactions of the daemon on a real MongoDB."""

import asyncio
from typing import Any

import pytest
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.transaction import in_transaction


async def test_a_transaction_whose_caller_is_cancelled_at_its_commit_is_not_left_open(
    database: AsyncDatabase[dict[str, Any]],
) -> None:
    await database.state.insert_one({"_id": 1})

    async def write_and_be_cancelled(session: AsyncClientSession) -> None:
        await database.state.update_one({"_id": 1}, {"$inc": {"count": 1}}, session=session)
        caller.cancel()

    caller = asyncio.create_task(in_transaction(database.client, write_and_be_cancelled, timeout_s=10))
    with pytest.raises(asyncio.CancelledError):
        await caller
    async with asyncio.timeout(30):  # the server would keep it open for a minute
        await database.state.update_one({"_id": 1}, {"$inc": {"count": 1}})
    assert await database.state.find_one({"_id": 1}) == {"_id": 1, "count": 2}
