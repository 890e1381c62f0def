"""Transactions of the daemon on a real MongoDB."""

import asyncio
from typing import Any

import pytest
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.transaction import Transactions, in_transaction


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


async def test_a_session_is_used_again_only_when_what_was_cancelled_has_ended(
    database: AsyncDatabase[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.mongo.transaction._LAST_MOMENT_S", 0.05)
    await database.state.insert_one({"_id": 1})
    begun, ended = asyncio.Event(), list[str]()
    transactions = Transactions(database.client)

    async def count(session: AsyncClientSession) -> None:
        await database.state.update_one({"_id": 1}, {"$inc": {"count": 1}}, session=session)

    async def count_and_linger(session: AsyncClientSession) -> None:
        await count(session)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.append("the first")

    caller = asyncio.create_task(transactions.run(count_and_linger, timeout_s=10))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == ["the first"]
    await transactions.run(count, timeout_s=10)
    assert await database.state.find_one({"_id": 1}) == {"_id": 1, "count": 1}
