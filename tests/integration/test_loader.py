"""What the queue brings into memory, and what it does with documents that the daemon cannot have written."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from actions.context import Context
from actions.outcome import Done, Fail, Outcome
from tests.support.bench import Bench, created, running_bench, updated
from tests.support.daemon import QUICK
from tests.support.edited import bench_of_module, edited
from tests.support.stage import Stage

pytestmark = pytest.mark.tampers  # executions are edited by hand

Database = AsyncDatabase[dict[str, Any]]
PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
async def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
async def bench(mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]], stage: Stage) -> AsyncIterator[Bench]:
    async with bench_of_module(mongo_uri, mongo_client, stage, QUICK) as running:
        yield running


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"due_at": "2026-01-01"}},
        {"$set": {"due_at": 5}},
        {"$set": {"due_at": None}},
        {"$set": {"due_at": {"at": PAST}}},
        {"$set": {"due_at": PAST, "attempt": -1}},
        {"$set": {"due_at": PAST, "attempt": "one"}},
        {"$set": {"due_at": PAST, "step": 7}},
        {"$set": {"due_at": PAST, "step": -1}},
        {"$set": {"due_at": PAST, "status": "flying"}},
        {"$set": {"due_at": PAST, "status": None}},
        {"$set": {"due_at": PAST, "status": ["pending"]}},
        {"$set": {"due_at": PAST, "status": {"is": "pending"}}},
        {"$set": {"due_at": PAST, "at": "0.x"}},
        {"$set": {"due_at": PAST, "started_at": 5}},
        {"$set": {"due_at": PAST, "workflow_id": {"$gt": 1}}},
        {"$set": {"due_at": PAST, "cause": 5, "counted_as": ["failed"]}},
        {"$set": {"due_at": PAST, "workflow_version": 99}},
        {"$set": {"due_at": PAST, "cause": "nothing"}},
        {"$set": {"due_at": PAST, "triggered_at": "yesterday"}},
        {"$set": {"due_at": PAST}, "$unset": {"seq": ""}},
        {"$set": {"due_at": PAST}, "$unset": {"triggered_by_entity_id": ""}},
    ],
    ids=str,
)
async def test_a_document_that_cannot_be_ours_ends_as_corrupt_and_never_runs(
    bench: Bench, stage: Stage, change: dict[str, Any]
) -> None:
    run = await edited(bench, stage, change)
    assert (run["status"], run["reason"]) == ("failed", "corrupt")
    assert "due_at" not in run


async def test_what_says_running_and_never_ran_ends_as_corrupt(bench: Bench, stage: Stage) -> None:
    run = await edited(bench, stage, {"$set": {"status": "running"}, "$unset": {"due_at": ""}})
    assert (run["status"], run["reason"]) == ("failed", "corrupt")


@pytest.mark.parametrize(
    "change",
    [
        {"status": "cancelled", "completed_at": None, "attempt": 1, "actions_executed": "none"},
        {"status": "cancelled", "completed_at": None, "workflow_id": {"$gt": 1}},
        {"status": "pending", "due_at": PAST, "completed_at": PAST, "counted_as": ["failed"]},
    ],
    ids=str,
)
async def test_an_edit_that_cannot_be_settled_ends_one_execution_and_nothing_else(
    bench: Bench, stage: Stage, change: dict[str, Any]
) -> None:
    run = await edited(bench, stage, {"$set": change, **({} if "due_at" in change else {"$unset": {"due_at": ""}})})
    assert run["status"] in ("failed", "cancelled")


async def test_a_retry_by_two_edits_is_not_taken_for_a_corrupt_document(bench: Bench, stage: Stage) -> None:
    stage.plays("local", failing)
    workflow_id = await bench.add(created("deal"), actions=[{"type": "local"}])
    later = await bench.add(created("deal"), actions=[{"type": "local", "delay": "1h"}])
    await bench.deals.insert_one({})
    (run,) = await bench.ended(workflow_id, 1)
    await bench.executions.update_one({"_id": run["_id"]}, {"$set": {"status": "pending"}})
    # The inspection that buries this one at once has met the other.
    await bench.executions.update_one({"workflow_id": later}, {"$set": {"due_at": "soon"}})
    await bench.ended(later, 1)
    stage.plays("local", succeeding)
    await bench.executions.update_one({"_id": run["_id"]}, {"$set": {"due_at": PAST}})
    await bench.committed(lambda: bench.executions.find_one({"_id": run["_id"], "status": "completed"}))


async def failing(context: Context) -> Outcome:
    return Fail("not yet")


async def succeeding(context: Context) -> Outcome:
    return Done({})


async def test_a_history_that_is_no_list_ends_its_execution_as_corrupt(bench: Bench, stage: Stage) -> None:
    run = await edited(bench, stage, {"$set": {"due_at": PAST, "actions_executed": "none"}}, may_run=True)
    assert (run["status"], run["reason"]) == ("failed", "corrupt")


async def test_what_is_corrupt_is_counted_as_failed_once(bench: Bench, stage: Stage) -> None:
    run = await edited(bench, stage, {"$set": {"due_at": "soon"}})
    counters = await bench.state.find({"kind": "counter", "workflow_id": run["workflow_id"]}).to_list()
    assert [(each["execution_count"], each["failure_count"]) for each in counters] == [(1, 1)]


async def test_a_corrupt_document_is_no_obstacle_for_its_neighbours(bench: Bench, stage: Stage) -> None:
    workflow_id = await bench.add(created("deal"), actions=[{"type": "local", "name": "good", "delay": "1h"}])
    await bench.deals.insert_many([{} for _ in range(10)])
    runs = await bench.runs(workflow_id)
    odd = runs[4]["_id"]
    await bench.executions.update_one({"_id": odd}, {"$set": {"cause": 5}})
    await bench.executions.update_many({"workflow_id": workflow_id}, {"$set": {"due_at": PAST}})
    await bench.ended(workflow_id, 10)
    assert len(stage.keys("good")) == 9


async def test_an_execution_that_says_running_though_nobody_is_at_work_on_it_is_taken_over(
    bench: Bench, stage: Stage
) -> None:
    workflow_id = await bench.add(created(), actions=[{"type": "remote", "delay": "1h"}])
    await bench.leads.insert_one({})
    run = (await bench.runs(workflow_id))[0]
    running = {"$set": {"status": "running", "attempt": 1, "epoch": 1}, "$unset": {"due_at": ""}}
    await bench.executions.update_one({"_id": run["_id"]}, running)
    ended = (await bench.ended(workflow_id, 1))[0]
    assert (ended["status"], ended["actions_executed"][0]["attempts"]) == ("completed", 2)


async def test_an_execution_of_an_action_that_this_version_does_not_know_is_left_alone(
    mongo_uri: str, database: Database
) -> None:
    stage = Stage()
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        newer = await bench.add(created(), actions=[{"type": "local", "delay": "1h"}])
        known = await bench.add(created(), actions=[{"type": "create_task", "delay": "1h"}])
        await bench.leads.insert_many([{"_id": number} for number in range(20)])
        await bench.taken_in()
    await database.workflow_executions.update_many({"status": "waiting"}, {"$set": {"due_at": PAST}})
    async with running_bench(mongo_uri, database) as bench:
        await bench.ended(known, 20)
        assert await bench.executions.count_documents({"workflow_id": newer, "status": "waiting"}) == 20
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        await bench.ended(newer, 20)


async def test_polling_uses_the_queue_index_however_much_has_ended(bench: Bench) -> None:
    lanes = list(range(32))
    query = {"lane": {"$in": lanes}, "due_at": {"$lte": PAST, "$type": "date"}}
    await bench.executions.insert_many(
        [{"_id": ObjectId(), "lane": number % 32, "status": "completed"} for number in range(2_000)]
    )
    plan = await bench.executions.find(query).sort([("due_at", 1), ("seq", 1)]).limit(1_000).explain()
    assert plan["executionStats"]["totalDocsExamined"] == 0


async def test_a_step_that_an_admin_brings_forward_runs_at_once(bench: Bench, stage: Stage) -> None:
    workflow_id = await bench.add(created(), actions=[{"type": "local", "delay": "1h"}])
    await bench.leads.insert_one({})
    run = (await bench.runs(workflow_id))[0]
    await bench.executions.update_one({"_id": run["_id"]}, {"$set": {"due_at": PAST}})
    await bench.ended(workflow_id, 1)


async def test_more_than_one_look_loads_is_run_in_order(mongo_uri: str, database: Database) -> None:
    stage = Stage()
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "local", "delay": "1h"}])
        for _ in range(3):
            await bench.leads.insert_many([{} for _ in range(700)])
        await bench.taken_in()
    await database.workflow_executions.update_many({"workflow_id": workflow_id}, {"$set": {"due_at": PAST}})
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        runs = await bench.ended(workflow_id, 2_100)
    order = [context.execution_id for _, context in stage.calls]
    places = {execution_id: place for place, execution_id in enumerate(order)}
    assert [places[run["_id"]] for run in runs] == list(range(2_100))


async def has_ended(bench: Bench, workflow_id: Any, count: int) -> list[dict[str, Any]]:
    """Return the many executions of a workflow once they have ended; they are counted meanwhile, not read."""
    ended = {"workflow_id": workflow_id, "completed_at": {"$type": "date"}}

    async def look() -> bool:
        return await bench.executions.count_documents(ended) == count

    await bench.committed(look)
    return await bench.executions.find(ended).to_list()


async def test_a_crowd_of_one_workflow_keeps_no_other_waiting_that_overtakes_no_earlier_step_of_its_entity(
    mongo_uri: str, database: Database
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        crowd = await bench.add(created(), actions=[{"type": "create_task", "delay": "1h"}])
        other = await bench.add(updated("n"), actions=[{"type": "create_task", "delay": "1h"}])
        apart = await bench.add(created("deal"), actions=[{"type": "create_task", "delay": "1h"}])
        for page in range(4):
            await bench.leads.insert_many([{"_id": page * 1_000 + number, "n": 0} for number in range(1_000)])
        await bench.leads.update_many({"_id": {"$gte": 3_990}}, {"$set": {"n": 1}})
        await bench.deals.insert_many([{} for _ in range(20)])
        await bench.taken_in()
    await database.workflow_executions.update_many({"status": "waiting"}, {"$set": {"due_at": PAST}})
    async with running_bench(mongo_uri, database) as bench:
        after = {run["triggered_by_entity_id"]: run["completed_at"] for run in await bench.ended(other, 10)}
        last = (await bench.ended(apart, 20))[-1]["completed_at"]
        runs = await has_ended(bench, crowd, 4_000)
    before = {run["triggered_by_entity_id"]: run["completed_at"] for run in runs}
    assert [entity_id for entity_id, at in after.items() if at < before[entity_id]] == []
    assert sum(at < max(last, *after.values()) for at in before.values()) < 3_200
