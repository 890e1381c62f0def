"""What is kept of workflows: what something points to or somebody may ask about, and no more."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.bench import TASK, Bench, created, running_bench, updated, workflow_document
from tests.support.daemon import QUICK
from tests.support.poll import eventually

pytestmark = pytest.mark.tampers  # executions are removed by hand, as their expiry would

Database = AsyncDatabase[dict[str, Any]]
SHORT: Final[dict[str, Any]] = {"version_retention_days": 1e-5, "pace": replace(QUICK, upkeep_s=0.2)}
LATER: Final = {**TASK, "title": "As it was", "delay": "1h"}
PAST: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def left(bench: Bench, workflow_id: Any, expected: list[int]) -> None:
    async def look() -> bool:
        versions = bench.database["workflow_versions"].find({"workflow_id": workflow_id}).sort("version", 1)
        found = [version["version"] async for version in versions]
        assert found == expected, found
        return True

    await eventually(look)


async def edit(bench: Bench, workflow_id: Any, version: int, **fields: Any) -> None:
    await bench.workflows.update_one({"_id": workflow_id}, {"$set": fields})
    await bench.observed(workflow_id, version=version)


async def test_only_versions_that_something_points_to_outlive_their_time(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database) as bench:
        workflow_id = await bench.add(created(), actions=[LATER])
        await bench.leads.insert_one({})
        (run,) = await bench.runs(workflow_id)
        for version, status in ((2, "paused"), (3, "active"), (4, "draining"), (5, "active")):
            await edit(bench, workflow_id, version, status=status)
        await edit(bench, workflow_id, 6, actions=[TASK])
        await edit(bench, workflow_id, 7, description="The newest")
        await left(bench, workflow_id, [1, 2, 3, 4, 5, 6, 7])
    async with running_bench(mongo_uri, database, **SHORT) as bench:
        await left(bench, workflow_id, [1, 7])
        await bench.executions.update_one({"_id": run["_id"]}, {"$set": {"due_at": PAST}})
        (run,) = await bench.ended(workflow_id, 1)
        assert run["status"] == "completed"
        task = await database.tasks.find_one({"execution_id": run["_id"]})
        assert task is not None
        assert task["title"] == "As it was"
        await bench.executions.delete_one({"_id": run["_id"]})
        await left(bench, workflow_id, [7])
        await edit(bench, workflow_id, 8, status="stopped")


async def test_of_a_workflow_deleted_long_ago_only_who_entered_it_is_left(mongo_uri: str, database: Database) -> None:
    workflow = workflow_document(updated("n"), enrollment="once")
    workflow_id = workflow["_id"]

    async def entered(bench: Bench, n: int) -> list[Any]:
        await bench.leads.update_many({}, {"$set": {"n": n}})
        return await bench.ran_for(workflow_id)

    async with running_bench(mongo_uri, database) as bench:
        await bench.leads.insert_one({"_id": "first", "n": 0})
        await bench.workflows.insert_one(workflow)
        assert await entered(bench, 1) == ["first"]
        await bench.ended(workflow_id, 1)
        await bench.workflows.delete_one({"_id": workflow_id})
        await bench.taken_in()
    async with running_bench(mongo_uri, database) as bench:  # its numbers go on while its versions are there
        await bench.workflows.insert_one(workflow)
        await bench.observed(workflow_id, state="active", version=3)
        await bench.workflows.delete_one({"_id": workflow_id})
        await bench.taken_in()
        await bench.executions.delete_many({"workflow_id": workflow_id})
    async with running_bench(mongo_uri, database, **SHORT) as bench:
        await left(bench, workflow_id, [])
        await eventually(lambda: _is_gone(bench, {"kind": "counter", "workflow_id": workflow_id}))
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_one(workflow)
        await bench.observed(workflow_id, state="active", version=1)
        await bench.leads.insert_one({"_id": "second", "n": 1})
        assert await entered(bench, 2) == ["second"]


async def _is_gone(bench: Bench, query: dict[str, Any]) -> bool:
    return await bench.state.count_documents(query) == 0
