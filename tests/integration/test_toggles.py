"""Switches take effect at their own place in the oplog, relative to the changes around them (promise 5)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.bench import TASK, Bench, created, running_bench, workflow_document

LATER = {**TASK, "delay": 3600}


async def switch(bench: Bench, workflow: Any, status: str) -> None:
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": status}})


async def test_exactly_the_inserts_made_while_active_fire(bench: Bench) -> None:
    workflow = await bench.add(created())
    expected = []
    for turn in range(40):
        status = "active" if turn % 2 else "paused"
        await switch(bench, workflow, status)
        await bench.leads.insert_one({"_id": turn})
        if status == "active":
            expected.append(turn)
    assert await bench.ran_for(workflow) == expected
    assert [entry["reason"] for entry in await bench.refusals(workflow)] == ["paused"] * 20


async def test_switches_and_inserts_of_one_transaction_keep_their_order(bench: Bench) -> None:
    workflow = await bench.add(created())

    async def write(session: Any) -> Any:
        for turn, status in enumerate(("paused", "active", "stopped", "active", "draining")):
            await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": status}}, session=session)
            await bench.leads.insert_one({"_id": turn}, session=session)

    async with bench.database.client.start_session() as session:
        await session.with_transaction(write)
    assert await bench.ran_for(workflow) == [1, 3]
    reasons = [entry["reason"] for entry in await bench.refusals(workflow)]
    assert sorted(reasons) == ["draining", "paused", "stopped"]


async def test_switches_made_while_the_daemon_is_down_are_exact(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        workflow = await bench.add(created())
        await bench.taken_in()
    await database["leads"].insert_one({"_id": "before"})
    await switch(bench, workflow, "paused")
    await database["leads"].insert_one({"_id": "paused"})
    await switch(bench, workflow, "active")
    await database["leads"].insert_one({"_id": "after"})
    await switch(bench, workflow, "stopped")
    async with running_bench(mongo_uri, database) as bench:
        assert await bench.ran_for(workflow) == ["before", "after"]
        await bench.observed(workflow, state="stopped", error=None)


async def test_an_edit_by_update_and_one_by_replace_take_effect_in_their_place(bench: Bench) -> None:
    workflow = await bench.add(created(), conditions=[{"field": "n", "operator": "equals", "value": 1}])
    await bench.leads.insert_many([{"_id": "a1", "n": 1}, {"_id": "a2", "n": 2}])
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"conditions.0.value": 2}})
    await bench.leads.insert_many([{"_id": "b1", "n": 1}, {"_id": "b2", "n": 2}])
    await bench.workflows.replace_one({"_id": workflow}, workflow_document(created(), _id=workflow, conditions=[]))
    await bench.leads.insert_many([{"_id": "c1", "n": 1}, {"_id": "c2", "n": 2}])
    runs = await bench.runs(workflow)
    assert [(run["triggered_by_entity_id"], run["workflow_version"]) for run in runs] == [
        ("a1", 1),
        ("b2", 2),
        ("c1", 3),
        ("c2", 3),
    ]


async def test_a_deleted_workflow_runs_no_more_and_what_waits_is_cancelled(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[LATER])
    await bench.leads.insert_one({"_id": 1})
    await bench.workflows.delete_one({"_id": workflow})
    await bench.leads.insert_one({"_id": 2})
    (run,) = await bench.ended(workflow, 1)
    assert (run["triggered_by_entity_id"], run["status"]) == (1, "cancelled")
    assert await bench.ran_for(workflow) == [1]


async def test_a_workflow_inserted_again_under_its_id_runs_again(bench: Bench) -> None:
    workflow = await bench.add(created())
    await bench.workflows.delete_one({"_id": workflow})
    await bench.leads.insert_one({"_id": 1})
    await bench.workflows.insert_one(workflow_document(created(), _id=workflow))
    await bench.leads.insert_one({"_id": 2})
    assert await bench.ran_for(workflow) == [2]


async def test_what_waited_at_a_stop_is_cancelled_even_if_activation_follows_at_once(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[{**TASK, "delay": 1}, TASK])
    await bench.leads.insert_one({"_id": "before"})

    async def stop_and_start(session: Any) -> Any:
        await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "stopped"}}, session=session)
        await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "active"}}, session=session)

    async with bench.database.client.start_session() as session:
        await session.with_transaction(stop_and_start)
    await bench.leads.insert_one({"_id": "after"})
    runs = await bench.ended(workflow, 2)
    assert [(run["triggered_by_entity_id"], run["status"]) for run in runs] == [
        ("before", "cancelled"),
        ("after", "completed"),
    ]
    newest = await bench.database["workflow_versions"].find_one({"workflow_id": workflow, "latest": True})
    assert newest is not None
    assert newest["stopped_seq"] == runs[0]["seq"]


async def test_a_draining_workflow_finishes_what_waits(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[{**TASK, "delay": 1}])
    await bench.leads.insert_one({"_id": 1})
    await switch(bench, workflow, "draining")
    await bench.leads.insert_one({"_id": 2})
    (run,) = await bench.ended(workflow, 1)
    assert (run["triggered_by_entity_id"], run["status"]) == (1, "completed")
    assert await bench.ran_for(workflow) == [1]


async def test_the_daemons_own_writes_make_no_version_and_come_to_rest(bench: Bench) -> None:
    workflow = await bench.add(created())
    await bench.leads.insert_one({"_id": 1})
    await bench.ended(workflow, 1)

    async def is_mirrored() -> object:
        return await bench.workflows.find_one({"_id": workflow, "execution_count": 1, "observed.version": 1})

    await bench.committed(is_mirrored)
    async with await bench.workflows.watch(max_await_time_ms=2_500) as stream:
        assert await stream.try_next() is None
    assert await bench.database["workflow_versions"].count_documents({"workflow_id": workflow}) == 1


async def test_what_the_daemon_answered_comes_back_after_a_replace_that_left_it_out(bench: Bench) -> None:
    document = workflow_document(created())
    workflow = document["_id"]
    await bench.workflows.insert_one(document)
    await bench.leads.insert_one({"_id": 1})
    await bench.ended(workflow, 1)
    await bench.observed(workflow, state="active")
    await bench.workflows.replace_one({"_id": workflow}, document)
    await bench.observed(workflow, state="active", version=1)

    async def is_counted_again() -> object:
        return await bench.workflows.find_one({"_id": workflow, "execution_count": 1, "success_count": 1})

    await bench.committed(is_counted_again)


@pytest.mark.tampers
async def test_a_counter_made_by_hand_keeps_no_workflow_from_its_counts(bench: Bench) -> None:
    by_hand = {"_id": "counter/mine", "kind": "counter", "changed_at": datetime(2100, 1, 1, tzinfo=UTC)}
    await bench.database["workflow_state"].insert_one(by_hand)
    workflow = await bench.add(created())
    await bench.leads.insert_one({"_id": 1})

    async def is_mirrored() -> object:
        return await bench.workflows.find_one({"_id": workflow, "execution_count": 1})

    await bench.committed(is_mirrored)


@pytest.mark.tampers
@pytest.mark.parametrize("status", [["held"], ["pending"]], ids=str)
async def test_an_execution_made_by_hand_keeps_no_workflow_from_its_answer(bench: Bench, status: list[str]) -> None:
    workflow = ObjectId()
    queued = {"lane": 0, "due_at": datetime(2100, 1, 1, tzinfo=UTC)} if status == ["pending"] else {}
    await bench.executions.insert_one({"_id": ObjectId(), "workflow_id": workflow, "status": status, **queued})
    await bench.add(created(), _id=workflow)
    assert (await bench.observed(workflow, state="active"))["in_flight"] == 0


@pytest.mark.parametrize("workflow_id", ["by-name", 7, {"team": "a", "no": 1}], ids=repr)
async def test_workflows_may_have_an_id_of_any_type(bench: Bench, workflow_id: Any) -> None:
    await bench.add(created(), _id=workflow_id)
    await bench.leads.insert_one({"_id": 1})
    (run,) = await bench.ended(workflow_id, 1)
    assert run["workflow_id"] == workflow_id
    await bench.observed(workflow_id, state="active", version=1, error=None)


async def test_workflows_made_before_the_first_start_are_in_force_from_it(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    early = workflow_document(created())
    await database["workflows"].insert_one(early)
    await database["leads"].insert_one({"_id": "earlier than the first start"})
    async with running_bench(mongo_uri, database) as bench:
        assert bench.daemon.is_reading
        await bench.leads.insert_one({"_id": "later"})
        assert await bench.ran_for(early["_id"]) == ["later"]
