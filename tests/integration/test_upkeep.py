"""What is dropped under a running daemon: indexes and images are put back, the work goes on."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.commits import committed
from tests.support.daemon import QUICK, reading, running_daemon
from tests.support.invariants import violations
from tests.support.load import Load, prepared_load
from tests.support.poll import eventually

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture
async def load(mongo_uri: str, database: Database) -> AsyncIterator[Load]:
    """A load under a daemon that reads, has done some work, and looks after the database often."""
    load = await prepared_load(database)
    async with running_daemon(mongo_uri, database.name, lease_s=2, pace=replace(QUICK, upkeep_s=0.5)) as daemon:
        await reading(daemon)
        await load.write(10)
        await load.done()
        yield load


async def goes_on(load: Load) -> None:
    await load.write(10)
    await load.done()


async def index_names(database: Database, collection: str) -> set[str]:
    return {index["name"] async for index in await database[collection].list_indexes()}


async def has_indexes(database: Database, collection: str, wanted: set[str]) -> bool:
    return await index_names(database, collection) >= wanted


async def has_images(database: Database, collection: str) -> bool:
    found = await (await database.list_collections(filter={"name": collection})).to_list()
    return bool(found and found[0]["options"].get("changeStreamPreAndPostImages", {}).get("enabled"))


async def test_dropped_indexes_come_back(load: Load) -> None:
    database = load.database
    wanted = await index_names(database, "workflow_executions")
    await database.workflow_executions.drop_indexes()
    await eventually(lambda: has_indexes(database, "workflow_executions", wanted))
    await goes_on(load)
    assert await violations(database, load.since, load.expected()) == []


async def test_a_collection_made_anew_keeps_images_again(load: Load) -> None:
    database = load.database
    await database.leads.drop()
    await database.leads.insert_one({"made": "anew"})
    await eventually(lambda: has_images(database, "leads"))
    await goes_on(load)


async def test_a_dropped_collection_of_the_crm_is_not_made_by_the_daemon(load: Load) -> None:
    database = load.database
    await database.contacts.drop()
    await database.workflow_executions.drop_index("by_entity")
    await eventually(lambda: has_indexes(database, "workflow_executions", {"by_entity"}))
    assert "contacts" not in await database.list_collection_names()


@pytest.mark.tampers
@pytest.mark.parametrize(
    "collection", ["workflow_decisions", "workflow_enrollments", "workflow_effects", "tasks", "workflow_requests"]
)
async def test_a_dropped_collection_of_ours_does_not_stop_the_work(collection: str, load: Load) -> None:
    await load.database[collection].drop()
    await goes_on(load)


@pytest.mark.tampers
async def test_the_state_dropped_at_run_time_is_written_again(load: Load) -> None:
    database = load.database
    before = await database.workflow_state.find_one({"_id": "checkpoint"})
    await database.workflow_state.drop()
    await goes_on(load)
    after = await database.workflow_state.find_one({"_id": "checkpoint"})
    assert before is not None
    assert after is not None
    assert after["seq"] > before["seq"]
    assert after["commit"] > before["commit"]


@pytest.mark.tampers
async def test_executions_dropped_at_run_time_are_only_missing(load: Load) -> None:
    database = load.database
    await database.workflow_executions.drop()
    lead = (await load.write(1))[0]
    await committed(database, lambda: database.workflow_executions.find_one({"triggered_by_entity_id": lead}))
    await eventually(lambda: has_indexes(database, "workflow_executions", {"queue"}))
