"""When an entity may enter again: exactly, under bursts of changes and when the stream is read again."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.bench import Bench, running_bench, updated, workflow_document
from tests.support.poll import eventually

DAY_1, DAY_2 = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


async def burst(bench: Bench, leads: int, changes: int) -> None:
    """Change leads 0… at the same moment from many tasks."""
    await asyncio.gather(
        *(
            bench.leads.update_one({"_id": lead}, {"$set": {"n": n}})
            for n in range(1, changes + 1)
            for lead in range(leads)
        )
    )


@pytest.mark.parametrize(
    ("enrollment", "expected"),
    [("always", 12), ("once", 1), ({"cooldown": "1h"}, 1), ({"once_per": "day"}, 1)],
    ids=repr,
)
async def test_a_burst_of_changes_enters_as_often_as_the_rule_says(
    shared: Bench, enrollment: Any, expected: int
) -> None:
    workflow = await shared.add(updated("n"), enrollment=enrollment)
    await shared.leads.delete_many({})
    await shared.leads.insert_many([{"_id": lead, "n": 0, "day": DAY_1} for lead in range(5)])
    await burst(shared, 5, 12)
    entered = await shared.ran_for(workflow)
    assert {lead: entered.count(lead) for lead in range(5)} == dict.fromkeys(range(5), expected)


async def test_those_that_may_not_enter_are_told_why(bench: Bench) -> None:
    once = await bench.add(updated("n"), enrollment="once")
    cooling = await bench.add(updated("n"), enrollment={"cooldown": "1h"})
    await bench.leads.insert_one({"_id": 1, "n": 0})
    for n in (1, 2):
        await bench.leads.update_one({"_id": 1}, {"$set": {"n": n}})
    assert [entry["reason"] for entry in await bench.refusals(once)] == ["already_enrolled"]
    assert [entry["reason"] for entry in await bench.refusals(cooling)] == ["cooldown"]


async def test_a_cooldown_that_has_passed_lets_in_again(bench: Bench) -> None:
    workflow = await bench.add(updated("n"), enrollment={"cooldown": "1s"})
    await bench.leads.insert_one({"_id": 1, "n": 0})

    async def has_entered_twice() -> object:
        await bench.leads.update_one({"_id": 1}, {"$inc": {"n": 1}})
        return await bench.executions.count_documents({"workflow_id": workflow}) >= 2

    await eventually(has_entered_twice, every_s=0.2)
    first, second, *_ = await bench.runs(workflow)
    assert (second["triggered_at"] - first["triggered_at"]).total_seconds() >= 1


async def test_once_per_lets_in_again_for_another_value(bench: Bench) -> None:
    workflow = await bench.add(updated("n"), enrollment={"once_per": "day"})
    await bench.leads.insert_one({"_id": 1, "n": 0, "day": DAY_1})
    for n, day in ((1, DAY_1), (2, DAY_2), (3, DAY_1), (4, DAY_2), (5, None)):
        await bench.leads.update_one({"_id": 1}, {"$set": {"n": n, "day": day}})
    assert len(await bench.runs(workflow)) == 3


async def test_once_per_takes_equal_numbers_for_one_value(bench: Bench) -> None:
    workflow = await bench.add(updated("n"), enrollment={"once_per": "round"})
    await bench.leads.insert_one({"_id": 1, "n": 0})
    for n, number in ((1, 1), (2, 1.0), (3, 2)):
        await bench.leads.update_one({"_id": 1}, {"$set": {"n": n, "round": number}})
    assert len(await bench.runs(workflow)) == 2


async def test_who_has_entered_stays_so_across_a_restart(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    workflow = workflow_document(updated("n"), enrollment="once")
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_one(workflow)
        await bench.leads.insert_one({"_id": 1, "n": 0})
        await bench.leads.update_one({"_id": 1}, {"$set": {"n": 1}})
        await bench.taken_in()
    await database["leads"].update_one({"_id": 1}, {"$set": {"n": 2}})
    async with running_bench(mongo_uri, database) as bench:
        assert len(await bench.runs(workflow["_id"])) == 1


async def test_the_counters_come_back_into_the_workflow(bench: Bench) -> None:
    workflow = await bench.add(updated("n"), actions=[{"type": "update_field", "field": "seen", "value": True}])
    await bench.leads.insert_many([{"_id": lead, "n": 0} for lead in range(3)])
    await bench.leads.update_many({}, {"$set": {"n": 1}})
    runs = await bench.ended(workflow, 3)

    async def is_counted() -> object:
        return await bench.workflows.find_one(
            {"_id": workflow, "execution_count": 3, "success_count": 3, "failure_count": 0}
        )

    document = await bench.committed(is_counted)
    assert isinstance(document, dict)
    assert document["last_executed_at"] >= max(run["started_at"] for run in runs)
