"""Reading the stream again, by one reader or by two, makes nothing twice; a position that cannot be used is said."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from daemon.lease.store import READER
from daemon.stream.gap import gap_id
from tests.support.bench import TASK, Bench, created, running_bench, updated, workflow_document
from tests.support.daemon import QUICK, halted, running_daemon
from tests.support.poll import eventually

Database = AsyncDatabase[dict[str, Any]]
LATER = [{**TASK, "delay": "1h"}]


async def checkpoint(database: Database) -> dict[str, Any]:
    found = await database["workflow_state"].find_one({"_id": "checkpoint"})
    assert found is not None
    return found


async def put_checkpoint(database: Database, document: dict[str, Any]) -> None:
    await database["workflow_state"].replace_one({"_id": "checkpoint"}, document)


async def everything(database: Database) -> dict[str, list[Any]]:
    """Return the ids of what must not exist twice."""
    names = ("workflow_executions", "workflow_enrollments", "tasks", "workflow_decisions")
    return {name: sorted(repr(each["_id"]) for each in await database[name].find().to_list()) for name in names}


@pytest.mark.tampers
async def test_a_stream_that_is_read_again_makes_nothing_twice(mongo_uri: str, database: Database) -> None:
    at_once = workflow_document(created(), enrollment="once")
    later = workflow_document(created(), enrollment={"cooldown": "1d"}, actions=LATER)
    refusing = workflow_document(updated("n"), conditions=[{"field": "n", "operator": "greater_than", "value": 5}])
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_many([at_once, later, refusing])
        await bench.taken_in()
        old = await checkpoint(database)
        await bench.leads.insert_many([{"_id": lead, "n": 0} for lead in range(30)])
        await bench.leads.update_many({}, {"$inc": {"n": 1}})
        await bench.ended(at_once["_id"], 30)
        await bench.taken_in()
        before = await everything(database)
    await put_checkpoint(database, {**old, "commit": (await checkpoint(database))["commit"] + 1})
    async with running_bench(mongo_uri, database) as bench:
        await bench.leads.insert_one({"_id": "after", "n": 9})
        assert (await bench.ran_for(later["_id"]))[-1] == "after"
    await database["workflow_executions"].delete_many({"triggered_by_entity_id": "after"})
    again = await everything(database)
    assert again["workflow_decisions"] == before["workflow_decisions"]
    for workflow in (at_once, later):
        runs = await database["workflow_executions"].distinct("_id", {"workflow_id": workflow["_id"]})
        assert len(runs) == 30
        assert await database["workflow_enrollments"].count_documents({"_id.workflow_id": workflow["_id"]}) == 31
    assert await database["tasks"].count_documents({"workflow_id": at_once["_id"], "entity_id": {"$ne": "after"}}) == 30


async def test_another_pipeline_reads_on_from_where_the_last_one_was(mongo_uri: str, database: Database) -> None:
    workflow = workflow_document(created())
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_one(workflow)
        await bench.leads.insert_many([{"_id": lead} for lead in range(10)])
        assert await bench.ran_for(workflow["_id"]) == list(range(10))
    await database["workflow_state"].update_one({"_id": "checkpoint"}, {"$set": {"pipeline": "another"}})
    await database["leads"].insert_one({"_id": "down"})
    async with running_bench(mongo_uri, database) as bench:
        await bench.leads.insert_one({"_id": "up"})
        assert await bench.ran_for(workflow["_id"]) == [*range(10), "down", "up"]
    assert (await checkpoint(database))["pipeline"] != "another"


async def test_two_readers_at_once_make_one_execution_for_each_change(mongo_uri: str, bench: Bench) -> None:
    workflow = await bench.add(created(), actions=LATER)
    async with running_daemon(mongo_uri, bench.database.name) as second:
        second.reader_role.lease_gained(READER, 99, after_crash=False)
        for first in range(0, 200, 10):
            await bench.leads.insert_many([{"_id": lead} for lead in range(first, first + 10)])
        assert await bench.ran_for(workflow) == list(range(200))
        second.reader_role.lease_lost(READER)
    seqs = [run["seq"] for run in await bench.executions.find().to_list()]
    assert len(seqs) == len(set(seqs))


@pytest.mark.parametrize(
    "change",
    [
        {"token": {"_data": "zz"}},
        {"token": {"_data": ""}},
        {"token": {"_data": "82"}},
        {"token": {}},
        {"token": "82"},
        {"token": {"_data": "8263000000000000012B022C0100296E5A1004"}},
        {"replica_set": "another"},
        {"commit": "7"},
        {"seq": None},
        {"cluster_time": 5},
        {"causes": 5, "transaction": [1, 2]},
    ],
    ids=repr,
)
async def test_a_corrupt_checkpoint_halts_the_reader_and_is_left_as_it_is(
    mongo_uri: str, database: Database, change: dict[str, Any]
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        await bench.taken_in()
    await put_checkpoint(database, {**await checkpoint(database), **change})
    broken = await checkpoint(database)
    await database["leads"].insert_one({"_id": 1})
    async with running_daemon(mongo_uri, database.name) as daemon:
        assert "checkpoint" in await halted(daemon)
        assert not daemon.is_reading
    assert await checkpoint(database) == broken


@pytest.mark.parametrize(("command", "code"), [("aggregate", 286), ("getMore", 136)])
async def test_a_position_that_left_the_oplog_is_a_recorded_gap_and_the_queue_goes_on(
    mongo_uri: str, database: Database, command: str, code: int
) -> None:
    workflow = workflow_document(created(), actions=[{**TASK, "delay": 1}])
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_one(workflow)
        await bench.leads.insert_one({"_id": 1})
        assert await bench.ran_for(workflow["_id"]) == [1]
    before = await checkpoint(database)
    async with reader_fails(database, command, code), running_daemon(mongo_uri, database.name) as daemon:
        await halted(daemon)
        gaps = await database["workflow_state"].find({"kind": "gap"}).to_list()
        assert [(gap["policy"], gap["acknowledged"]) for gap in gaps] == [("halt", False)]
        assert gaps[0]["from"] <= gaps[0]["to"]
        await eventually(
            lambda: database["workflow_executions"].find_one({"workflow_id": workflow["_id"], "status": "completed"})
        )
    after = await checkpoint(database)
    assert gaps[0]["_id"] == gap_id(after["cluster_time"])  # an open stream may have brought what came before the gap
    if command == "aggregate":
        assert after["token"] == before["token"]


@asynccontextmanager
async def reader_fails(database: Database, command: str, code: int) -> AsyncIterator[None]:
    """Let the stream's commands fail."""
    point = {"configureFailPoint": "failCommand"}
    data = {"failCommands": [command], "errorCode": code, "appName": "reflexd-test-reader"}
    await database.client.admin.command({**point, "mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        await database.client.admin.command({**point, "mode": "off"})


async def test_the_position_moves_on_while_nothing_happens(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database, pace=replace(QUICK, idle_save_s=0)) as bench:
        await bench.taken_in()
        before = await checkpoint(database)
        await database["unrelated"].insert_one({})

        async def has_moved() -> bool:
            now = await checkpoint(database)
            at = (now["token"]["_data"], now["cluster_time"])
            return bool(at[0] > before["token"]["_data"] and at[1] > before["cluster_time"])

        await bench.committed(has_moved)


async def test_workflows_deleted_while_the_checkpoint_was_lost_do_not_come_back(
    mongo_uri: str, database: Database
) -> None:
    gone, kept = workflow_document(created()), workflow_document(created())
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_many([gone, kept])
        await bench.leads.insert_one({"_id": 1})
        last = (await bench.runs(kept["_id"]))[-1]["seq"]
    await database["workflow_state"].delete_one({"_id": "checkpoint"})
    await database["workflows"].delete_one({"_id": gone["_id"]})
    async with running_bench(mongo_uri, database) as bench:
        await bench.leads.insert_one({"_id": 2})
        assert await bench.ran_for(gone["_id"]) == [1]
        runs = await bench.runs(kept["_id"])
        assert [run["triggered_by_entity_id"] for run in runs] == [1, 2]
        assert runs[-1]["seq"] > last
