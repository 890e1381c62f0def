"""No runaway loops: chains are cut, throttled and recorded, and only our own writes count as ours (promise 6)."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.bench import Bench, running_bench, updated


@pytest.fixture
def bench(alone: Bench) -> Bench:
    return alone


def set_field(field: str, value: Any) -> dict[str, Any]:
    return {"type": "update_field", "field": field, "value": value}


def is_(field: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": "equals", "value": value}


async def test_a_workflow_that_sets_what_another_resets_is_stopped_at_its_second_entry(bench: Bench) -> None:
    setting = await bench.add(updated("flag"), conditions=[is_("flag", False)], actions=[set_field("flag", True)])
    resetting = await bench.add(updated("flag"), conditions=[is_("flag", True)], actions=[set_field("flag", False)])
    await bench.leads.insert_one({"_id": 1, "flag": True})
    await bench.leads.update_one({"_id": 1}, {"$set": {"flag": False}})
    await bench.ended(setting, 1)
    (second,) = await bench.ended(resetting, 1)
    (entry,) = [entry for entry in await bench.refusals(setting) if entry["reason"] == "reentry"]
    assert entry["detail"]["chain"] == [setting, resetting, setting]
    assert entry["detail"]["caused_by"] == second["_id"]
    assert second["cause"]["chain"] == [setting]
    assert (await bench.leads.find_one({"_id": 1}) or {})["flag"] is False


async def test_a_workflow_that_triggers_itself_runs_once(bench: Bench) -> None:
    counting = await bench.add(updated("n"), actions=[set_field("n", "again")])
    await bench.leads.insert_one({"_id": 1, "n": 0})
    await bench.leads.update_one({"_id": 1}, {"$set": {"n": 1}})
    await bench.ended(counting, 1)
    (entry,) = await bench.refusals(counting)
    assert entry["reason"] == "reentry"
    assert entry["detail"]["chain"] == [counting, counting]


async def test_a_chain_of_workflows_is_cut_at_the_depth_cap(bench: Bench) -> None:
    chain = [await bench.add(updated(f"f{depth}"), actions=[set_field(f"f{depth + 1}", True)]) for depth in range(7)]
    await bench.leads.insert_one({"_id": 1})
    await bench.leads.update_one({"_id": 1}, {"$set": {"f0": True}})
    await bench.ended(chain[4], 1)
    (entry,) = await bench.refusals(chain[5])
    assert entry["reason"] == "depth_exceeded"
    assert entry["detail"]["depth"] == 5
    assert entry["detail"]["chain"] == chain[:6]
    assert await bench.runs(chain[5]) == []


async def test_a_change_by_the_crm_of_what_we_wrote_starts_a_new_chain(bench: Bench) -> None:
    workflow = await bench.add(updated("n"), actions=[set_field("n", -1)])
    await bench.leads.insert_one({"_id": 1, "n": 0})
    for n in (1, 2):
        await bench.leads.update_one({"_id": 1}, {"$set": {"n": n}})
        await bench.ended(workflow, n)
    assert [run["cause"]["depth"] for run in await bench.runs(workflow)] == [0, 0]


async def test_a_crm_transaction_after_our_write_is_not_taken_for_ours(bench: Bench) -> None:
    first = await bench.add(updated("a"), actions=[set_field("b", 1)])
    second = await bench.add(updated("b"), actions=[{"type": "create_task"}])
    await bench.leads.insert_many([{"_id": 1}, {"_id": 2}])

    async def write(session: Any) -> Any:
        await bench.leads.update_one({"_id": 1}, {"$set": {"a": 1}}, session=session)
        await bench.leads.update_one({"_id": 2}, {"$set": {"b": 1}}, session=session)

    async with bench.database.client.start_session() as session:
        await session.with_transaction(write)
    await bench.ended(first, 1)
    runs = await bench.ended(second, 2)
    depths = {run["triggered_by_entity_id"]: run["cause"]["depth"] for run in runs}
    assert depths == {2: 0, 1: 1}


async def test_too_many_runs_for_one_entity_within_an_hour_are_throttled(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    async with running_bench(mongo_uri, database, max_runs_per_hour=5) as bench:
        workflow = await bench.add(updated("n"))
        await bench.leads.insert_many([{"_id": 1, "n": 0}, {"_id": 2, "n": 0}])
        for _ in range(7):
            await bench.leads.update_one({"_id": 1}, {"$inc": {"n": 1}})
        await bench.leads.update_one({"_id": 2}, {"$inc": {"n": 1}})
        assert await bench.ran_for(workflow) == [1, 1, 1, 1, 1, 2]
        refusals = await bench.refusals(workflow)
        assert [entry["reason"] for entry in refusals] == ["throttled", "throttled"]
        assert refusals[0]["detail"] == {"runs": 5, "within": "1h"}
    async with running_bench(mongo_uri, database, max_runs_per_hour=5) as bench:
        await bench.leads.update_one({"_id": 1}, {"$inc": {"n": 1}})
        await bench.leads.update_one({"_id": 2}, {"$inc": {"n": 1}})
        assert await bench.ran_for(workflow) == [1, 1, 1, 1, 1, 2, 2]


async def test_requests_by_programs_are_throttled_and_a_forced_one_is_not(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    async with running_bench(mongo_uri, database, max_runs_per_hour=2) as bench:
        workflow = await bench.add({"type": "manual", "entity_type": "lead"})
        await bench.leads.insert_one({"_id": 1})
        requests = bench.database["workflow_requests"]
        for force in (False, False, False, True):
            await requests.insert_one({"workflow_id": workflow, "entity_id": 1, "force": force})

        async def answers() -> list[str] | None:
            found = await requests.find({"answered_at": {"$exists": True}}).sort("_id", 1).to_list()
            return [each.get("reason", each["status"]) for each in found] if len(found) == 4 else None

        assert await bench.committed(answers) == ["accepted", "accepted", "throttled", "accepted"]
