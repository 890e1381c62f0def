"""Preparing the CRM's database: complete, repeatable, and as far as the privileges reach."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect

from config.preset import load_presets
from config.settings import Settings
from daemon.mongo.client import open_client
from daemon.mongo.indexes import wanted_indexes
from daemon.mongo.initialise import initialise
from tests.support.settings import settings_for

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture
def settings(mongo_uri: str, database: Database) -> Settings:
    return settings_for(mongo_uri, database.name)


async def options_of(database: Database, collection: str) -> Mapping[str, Any]:
    async for found in await database.list_collections(filter={"name": collection}):
        options: Mapping[str, Any] = found["options"]
        return options
    raise AssertionError(f"there is no collection {collection}")


async def index_of(database: Database, collection: str, name: str) -> Mapping[str, Any]:
    async for index in await database[collection].list_indexes():
        if index["name"] == name:
            return index
    raise AssertionError(f"{collection} has no index {name}")


@asynccontextmanager
async def refused(
    database: Database, settings: Settings, command: str, **data: Any
) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Give the database through a client whose ``command`` always fails."""
    name = ObjectId()
    failure = {"failCommands": [command], "appName": f"reflexd-{name}", **data}
    await database.client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": failure})
    client: AsyncMongoClient[dict[str, Any]] = open_client(settings, str(name))
    try:
        yield client[database.name]
    finally:
        await client.close()
        await database.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


async def test_every_collection_is_created(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    wanted = {*settings.collections.model_dump().values(), "leads", "deals", "contacts"}
    assert wanted <= set(await database.list_collection_names())


async def test_indexes_are_asked_for_once_for_each_collection(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    await database.command({"profile": 2})
    await initialise(database, settings)
    await database.command({"profile": 0})
    asked = await database["system.profile"].distinct("command.listIndexes", {"op": "command"})
    told = await database["system.profile"].count_documents({"command.listIndexes": {"$exists": True}})
    assert (told, set(asked)) == (len(asked), {index.collection for index in wanted_indexes(settings)})


async def test_the_queue_index_holds_only_what_has_a_due_date(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    index = await index_of(database, "workflow_executions", "queue")
    assert (dict(index["key"]), index["partialFilterExpression"]) == (
        {"lane": 1, "due_at": 1, "seq": 1},
        {"due_at": {"$type": "date"}},
    )


async def test_only_ended_executions_expire(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    index = await index_of(database, "workflow_executions", "retention")
    assert index["expireAfterSeconds"] == 90 * 86_400
    assert index["partialFilterExpression"] == {"status": {"$in": ["completed", "failed", "cancelled"]}}


async def test_a_second_run_finds_nothing_to_do(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    again = await initialise(database, settings)
    assert (again.collections, again.indexes, again.validators, again.images, again.presets, again.skipped) == (
        [],
        [],
        [],
        [],
        [],
        [],
    )


async def test_two_replicas_may_prepare_at_once(database: Database, settings: Settings) -> None:
    reports = await asyncio.gather(initialise(database, settings), initialise(database, settings))
    assert [report.skipped for report in reports] == [[], []]
    assert await database.workflows.count_documents({}) == 3


async def test_a_changed_retention_is_applied(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    report = await initialise(database, settings.model_copy(update={"decision_retention_days": 1.0}))
    assert report.indexes == ["workflow_decisions.retention"]
    assert (await index_of(database, "workflow_decisions", "retention"))["expireAfterSeconds"] == 86_400


async def test_an_index_made_by_hand_under_another_name_is_good_enough(database: Database, settings: Settings) -> None:
    await database.tasks.create_index("execution_id", name="mine")
    report = await initialise(database, settings)
    assert "tasks.by_execution" not in report.indexes
    assert report.skipped == []


async def test_an_index_in_the_way_is_reported_and_left_alone(database: Database, settings: Settings) -> None:
    await database.tasks.create_index("title", name="by_execution")
    report = await initialise(database, settings)
    assert len(report.skipped) == 1
    assert "tasks: createIndex: index 'by_execution': expected keys {'execution_id': 1}" in report.skipped[0]
    assert dict((await index_of(database, "tasks", "by_execution"))["key"]) == {"title": 1}


async def test_entities_and_workflows_keep_images(database: Database, settings: Settings) -> None:
    await database.create_collection("leads")
    await initialise(database, settings)
    for name in ("leads", "deals", "contacts", "workflows"):
        assert (await options_of(database, name))["changeStreamPreAndPostImages"] == {"enabled": True}


async def test_validators_only_warn(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    assert (await options_of(database, "workflows"))["validationAction"] == "warn"
    await database.workflows.insert_one({"name": 7})
    assert await database.workflows.find_one({"name": 7}) is not None


async def test_an_admins_own_validator_is_left_alone(database: Database, settings: Settings) -> None:
    await database.create_collection("workflows", validator={"owner": {"$exists": True}}, validationAction="warn")
    await initialise(database, settings)
    assert (await options_of(database, "workflows"))["validator"] == {"owner": {"$exists": True}}


async def test_an_older_validator_of_ours_is_renewed(database: Database, settings: Settings) -> None:
    await database.create_collection(
        "workflows", validator={"$jsonSchema": {"title": "reflexd: workflow"}}, validationAction="warn"
    )
    assert (await initialise(database, settings)).validators == ["workflows", "workflow_executions"]


async def test_presets_are_installed_active_and_with_counters_at_zero(database: Database, settings: Settings) -> None:
    report = await initialise(database, settings)
    stored = await database.workflows.find({}).to_list()
    assert report.presets == [str(document["name"]) for document in stored]
    assert [document["_id"] for document in stored] == [preset.id for preset in load_presets()]
    assert {(d["status"], d["execution_count"], d["success_count"], d["failure_count"]) for d in stored} == {
        ("active", 0, 0, 0)
    }


async def test_a_preset_that_was_changed_or_deleted_never_comes_back(database: Database, settings: Settings) -> None:
    await initialise(database, settings)
    changed, deleted, _ = [preset.id for preset in load_presets()]
    await database.workflows.update_one({"_id": changed}, {"$set": {"name": "Ours"}})
    await database.workflows.delete_one({"_id": deleted})
    assert (await initialise(database, settings)).presets == []
    names = [document["name"] async for document in database.workflows.find({})]
    assert names == ["Ours", "Congratulate on deal won"]


@pytest.mark.parametrize(
    ("command", "skipped", "kept"),
    [
        ("collMod", 6, "indexes"),
        ("createIndexes", len(wanted_indexes(Settings.model_construct())), "images"),
        ("listCollections", 1, "presets"),
    ],
)
async def test_what_a_privilege_forbids_is_skipped_and_the_rest_is_done(
    command: str, skipped: int, kept: str, database: Database, settings: Settings
) -> None:
    async with refused(database, settings, command, errorCode=13) as limited:
        report = await initialise(limited, settings)
    assert len(report.skipped) == skipped
    assert getattr(report, kept) != []


async def test_collections_left_without_images_are_named(database: Database, settings: Settings) -> None:
    async with refused(database, settings, "collMod", errorCode=13) as limited:
        report = await initialise(limited, settings)
    assert report.without_images == ["leads", "deals", "contacts", "workflows"]


async def test_a_silent_server_is_an_error_and_not_a_missing_privilege(database: Database, settings: Settings) -> None:
    async with refused(database, settings, "listIndexes", closeConnection=True) as silent:
        with pytest.raises(AutoReconnect):
            await initialise(silent, settings)
