"""For every candidate that did not run, the reason is stored (promise 7)."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.support.bench import TASK, Bench, created, running_bench, updated, workflow_document
from tests.support.poll import eventually

WON = {"field": "status", "operator": "equals", "value": "won"}


async def test_a_condition_that_was_not_met_is_stored_with_what_was_expected_and_found(bench: Bench) -> None:
    workflow = await bench.add(created(), name="Only won", conditions=[WON])
    await bench.leads.insert_one({"_id": 1, "status": "lost"})
    (decision,) = await bench.decisions(1)
    assert (decision["entity_type"], decision["change"], decision["judged_on"]) == ("lead", "created", "event")
    (entry,) = decision["entries"]
    assert entry == {
        "workflow_id": workflow,
        "workflow_name": "Only won",
        "workflow_version": 1,
        "reason": "condition_not_met",
        "conditions": [
            {
                "path": "conditions[0]",
                "field": "status",
                "operator": "equals",
                "expected": "won",
                "actual": "lost",
                "verdict": "not_met",
            }
        ],
    }


async def test_a_missing_field_has_no_actual(bench: Bench) -> None:
    await bench.add(created(), conditions=[WON])
    await bench.leads.insert_one({"_id": 1})
    (decision,) = await bench.decisions(1)
    assert "actual" not in decision["entries"][0]["conditions"][0]


async def test_one_change_makes_one_decision_for_all_its_workflows(bench: Bench) -> None:
    for status in ("active", "paused", "draining", "stopped"):
        await bench.add(created(), status=status, conditions=[] if status != "active" else [WON])
    await bench.leads.insert_one({"_id": 1})
    (decision,) = await bench.decisions(1)
    reasons = [entry["reason"] for entry in decision["entries"]]
    assert sorted(reasons) == ["condition_not_met", "draining", "paused", "stopped"]


async def test_a_change_that_concerns_nobody_makes_no_decision(bench: Bench) -> None:
    await bench.add(updated("status"), conditions=[WON])
    await bench.leads.insert_one({"_id": 1})
    await bench.leads.update_one({"_id": 1}, {"$set": {"name": "x"}})
    assert await bench.decisions(1) == []


async def test_beyond_a_hundred_candidates_the_rest_is_counted(bench: Bench) -> None:
    await bench.workflows.insert_many([workflow_document(created(), conditions=[WON]) for _ in range(130)])
    await bench.leads.insert_one({"_id": 1})
    (decision,) = await bench.decisions(1)
    assert (len(decision["entries"]), decision["more"]) == (100, 30)


async def test_a_change_that_matches_thousands_of_workflows_runs_each_once_in_several_transactions(
    bench: Bench,
) -> None:
    count = 2_300
    later = [{**TASK, "delay": "1h"}]
    documents = [workflow_document(created(), actions=later, enrollment="once") for _ in range(count)]
    await bench.workflows.insert_many(documents)
    await bench.taken_in()
    before = await bench.state.find_one({"_id": "checkpoint"})
    await bench.leads.insert_one({"_id": 1})
    await bench.taken_in()
    after = await bench.state.find_one({"_id": "checkpoint"})
    assert before is not None
    assert after is not None
    assert after["commit"] - before["commit"] >= 3
    runs = await bench.executions.find({"triggered_by_entity_id": 1}, {"workflow_id": 1}).to_list()
    assert len(runs) == count
    assert {run["workflow_id"] for run in runs} == {document["_id"] for document in documents}


async def test_changes_that_start_nothing_and_keep_coming_lose_no_decision(bench: Bench) -> None:
    workflow = await bench.add(updated("n"), conditions=[WON])
    await bench.leads.insert_one({"_id": 1, "n": 0})
    for number in range(1, 200):
        await bench.leads.update_one({"_id": 1}, {"$set": {"n": number}})
    decisions = await bench.decisions(1)
    assert [each["entries"][0]["workflow_id"] for each in decisions] == [workflow] * 199


async def test_a_decision_that_the_database_refuses_costs_its_neighbours_nothing(bench: Bench) -> None:
    await bench.add(updated("n"), conditions=[WON])
    await bench.leads.insert_many([{"_id": name, "n": 0} for name in ("before", "poison", "after")])
    refused = {"entity_id": "poison", "entries.reason": "condition_not_met"}
    await bench.database.command(
        "collMod", "workflow_decisions", validator={"$nor": [refused]}, validationAction="error"
    )
    await bench.taken_in()  # what follows soon may wait for the next transaction
    for name in ("before", "poison", "after"):
        await bench.leads.update_one({"_id": name}, {"$set": {"n": 1}})
    reasons = {name: (await bench.decisions(name))[0]["entries"][0]["reason"] for name in ("before", "poison", "after")}
    assert reasons == {"before": "condition_not_met", "poison": "intake_error", "after": "condition_not_met"}


async def test_decisions_that_wait_are_stored_before_the_daemon_stops(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        await bench.add(updated("n"), conditions=[WON])
        await bench.leads.insert_one({"_id": 1, "n": 0})
        await bench.taken_in()
        await bench.leads.update_one({"_id": 1}, {"$set": {"n": 1}})
        await eventually(lambda: bench.daemon.metrics.changes == 3)  # the marker of taken_in is one of them
    assert await database["workflow_decisions"].count_documents({"entity_id": 1}) == 1
