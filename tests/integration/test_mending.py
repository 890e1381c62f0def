"""The daemon's own versions of workflows, edited by hand: nobody is kept from starting, and nothing runs by mistake."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from daemon.stream.reset import reset_checkpoint
from daemon.versions.parsing import parser_for
from tests.support.bench import TASK, Bench, created, running_bench
from tests.support.settings import settings_for

pytestmark = pytest.mark.tampers
Database = AsyncDatabase[dict[str, Any]]

LATER = [{**TASK, "delay": "1h"}]
EDITS: list[dict[str, Any]] = [
    {"$unset": {"status": ""}},
    {"$set": {"status": "on"}},
    {"$unset": {"definition": ""}},
    {"$set": {"definition": "text"}},
    {"$set": {"error": "text"}},
    {"$unset": {"error": "", "seen": "", "workflow_id": "", "version": "", "is_deleted": ""}},
    {"$set": {"at_seq": "1", "stopped_seq": None, "changed_seq": [], "since": 5, "transition": "jump"}},
]


async def damage(database: Database, workflow_id: Any, edit: dict[str, Any]) -> None:
    result = await database["workflow_versions"].update_one({"_id.workflow_id": workflow_id, "latest": True}, edit)
    assert result.modified_count == 1


async def waiting(bench: Bench, workflow_id: Any) -> dict[Any, tuple[str, Any]]:
    """Return, by lead, the status of the executions of a workflow and when they are due."""
    found = await bench.database["workflow_executions"].find({"workflow_id": workflow_id}).to_list()
    return {each["triggered_by_entity_id"]: (each["status"], each.get("due_at")) for each in found}


@pytest.mark.parametrize("edit", EDITS, ids=str)
async def test_a_version_that_cannot_be_read_is_read_anew_and_what_waits_is_left_alone(
    edit: dict[str, Any], mongo_uri: str, database: Database
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        damaged, whole = await bench.add(created(), actions=LATER), await bench.add(created())
        await bench.leads.insert_one({"_id": 1})
        await bench.ended(whole, 1)
        before = await waiting(bench, damaged)
    await damage(database, damaged, edit)
    await database["leads"].insert_one({"_id": 2})  # judged before the document is read anew
    async with running_bench(mongo_uri, database) as bench:
        await bench.ended(whole, 2)
        after = await waiting(bench, damaged)
        assert {lead: status for lead, (status, _) in after.items()} == {1: "waiting", 2: "waiting"}
        assert after[1] == before[1]
        await bench.observed(damaged, state="active", error=None)


async def test_a_paused_workflow_stays_paused(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database) as bench:
        damaged, whole = await bench.add(created(), actions=LATER), await bench.add(created())
        await bench.leads.insert_one({"_id": 1})
        await bench.ended(whole, 1)
        await bench.workflows.update_one({"_id": damaged}, {"$set": {"status": "paused"}})
        await bench.observed(damaged, state="paused", held=1)
    await damage(database, damaged, {"$unset": {"status": ""}})
    async with running_bench(mongo_uri, database) as bench:
        await bench.leads.insert_one({"_id": 2})
        await bench.ended(whole, 2)
        assert await waiting(bench, damaged) == {1: ("held", None)}
        await bench.observed(damaged, state="paused", held=1)


async def test_a_document_that_is_no_version_is_passed_over(mongo_uri: str, database: Database) -> None:
    await database["workflow_versions"].insert_many([{"latest": True}, {"_id": {"version": 1}, "latest": True}])
    async with running_bench(mongo_uri, database) as bench:
        workflow = await bench.add(created())
        await bench.leads.insert_one({"_id": 1})
        await bench.ended(workflow, 1)


async def test_the_position_can_be_moved_beside_a_version_that_cannot_be_read(
    mongo_uri: str, database: Database
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        workflow = await bench.add(created())
        await bench.observed(workflow, state="active")
    await damage(database, workflow, {"$unset": {"status": ""}})
    settings = settings_for(mongo_uri, database.name)
    await reset_checkpoint(database, settings.collections, parser_for(settings), datetime.now(UTC))
    async with running_bench(mongo_uri, database) as bench:
        await bench.leads.insert_one({"_id": 1})
        await bench.ended(workflow, 1)
