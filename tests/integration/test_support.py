"""The tests' own MongoDB: what every other integration test relies on."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

Database = AsyncDatabase[dict[str, Any]]


async def test_the_server_takes_transactions(database: Database) -> None:
    async with database.client.start_session() as session, await session.start_transaction():
        await database.leads.insert_one({"_id": 1}, session=session)
    assert await database.leads.find_one() == {"_id": 1}


async def test_every_test_has_an_empty_database(database: Database) -> None:
    assert await database.list_collection_names() == []


async def test_the_server_has_test_commands(database: Database) -> None:
    admin = database.client.admin
    assert (await admin.command({"configureFailPoint": "failCommand", "mode": "off"}))["ok"] == 1
