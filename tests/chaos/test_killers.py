"""What kills the process that touches it ends after a few deaths, and everything else is done."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.initialise import initialise
from tests.support.bench import TASK, created, running_bench, workflow_document
from tests.support.deadly import EXIT_CODE, NAME
from tests.support.invariants import violations
from tests.support.replica import ROOT
from tests.support.settings import settings_for
from tests.support.stage import Stage

Database = AsyncDatabase[dict[str, Any]]
MOST_DEATHS = 9


async def _deaths(uri: str, database: str, what: str, is_over: Callable[[], Coroutine[Any, Any, bool]]) -> int:
    """Start the daemon again and again until ``is_over``; return how often it died."""
    for deaths in range(MOST_DEATHS):
        command = [sys.executable, "-m", "tests.support.deadly", uri, database, what]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
        ended = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(90):
                while not ended.done() and not await is_over():
                    await asyncio.wait([ended], timeout=0.05)
        finally:
            if not ended.done():
                process.kill()
            code = await ended
        if code != EXIT_CODE:
            return deaths
    raise AssertionError(f"still dying after {MOST_DEATHS} deaths")


async def _prepared(uri: str, database: Database, *actions: dict[str, Any]) -> tuple[Any, Any]:
    """Put two workflows in, one of them deadly, and write leads while no daemon runs, one of them deadly."""
    await initialise(database, settings_for("", database.name))
    good, bad = workflow_document(created()), workflow_document(created(), name="Deadly", actions=list(actions))
    stage = Stage()
    async with running_bench(uri, database, parse_action=stage.parse_action) as bench:
        await bench.workflows.insert_many([good, bad])
        await bench.taken_in()
    names = ["a", "b", NAME, "c", "d"]
    await database.leads.insert_many([{"_id": place, "name": name} for place, name in enumerate(names)])
    return good["_id"], bad["_id"]


@pytest.mark.parametrize("kind", ["local", "remote"])
async def test_a_step_that_kills_its_process_ends_crashed_wherever_it_reaches(
    mongo_uri: str, database: Database, kind: str
) -> None:
    good, bad = await _prepared(mongo_uri, database, {"type": kind}, TASK)

    async def is_over() -> bool:
        return await database.workflow_executions.count_documents({"completed_at": {"$ne": None}}) >= 11

    assert await _deaths(mongo_uri, database.name, "action", is_over) >= 5
    runs = await database.workflow_executions.find({"workflow_id": bad}).sort("triggered_by_entity_id", 1).to_list()
    assert [run["status"] for run in runs] == ["completed", "completed", "failed", "completed", "completed"]
    records = runs[2]["actions_executed"]
    assert [(each["status"], each.get("error")) for each in records] == [("failed", "crashed"), ("success", None)]
    assert await database.workflow_executions.count_documents({"workflow_id": good, "status": "completed"}) == 5
    assert [breach for breach in await violations(database) if not breach.startswith("I3")] == []


async def test_a_change_whose_judgement_kills_the_reader_is_recorded_and_passed(
    mongo_uri: str, database: Database
) -> None:
    good, bad = await _prepared(mongo_uri, database, TASK)

    async def is_over() -> bool:
        return await database.workflow_executions.count_documents({"completed_at": {"$ne": None}}) >= 10

    await _deaths(mongo_uri, database.name, "judgement", is_over)
    found = database.workflow_executions.find({"status": "completed"}).sort("triggered_by_entity_id", 1)
    runs = [(run["workflow_id"], run["triggered_by_entity_id"]) for run in await found.to_list()]
    assert [lead for workflow_id, lead in runs if workflow_id == good] == [0, 1, 2, 3, 4]
    assert [lead for workflow_id, lead in runs if workflow_id == bad] == [0, 1, 3, 4]
    (decision,) = await database.workflow_decisions.find({"entries.reason": "intake_error"}).to_list()
    assert (decision["entity_id"], decision["entries"][0]["workflow_id"]) == (2, bad)
    assert await violations(database) == []
