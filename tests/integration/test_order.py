"""Promise 3: steps of one entity in commit order, one at a time; different entities in parallel."""

import asyncio
from collections import defaultdict
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from actions.context import Context
from actions.outcome import Done, Outcome
from tests.support.bench import created, running_bench, updated
from tests.support.poll import eventually
from tests.support.stage import Stage

Database = AsyncDatabase[dict[str, Any]]
ENTITIES = 50
CHANGES = 1_000


async def test_a_thousand_changes_of_fifty_entities_run_in_commit_order(mongo_uri: str, database: Database) -> None:
    stage = Stage()
    await database.leads.insert_many([{"_id": number, "count": 0} for number in range(ENTITIES)])
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action, max_runs_per_hour=10_000) as bench:
        workflow_id = await bench.add(
            updated("count"), actions=[{"type": "local", "name": "first"}, {"type": "local", "name": "second"}]
        )

        async def crm(own: range) -> None:
            for _ in range(CHANGES // ENTITIES):
                for number in own:
                    await bench.leads.update_one({"_id": number}, {"$inc": {"count": 1}})

        await asyncio.gather(*(crm(range(start, ENTITIES, 10)) for start in range(10)))
        runs = await bench.ended(workflow_id, CHANGES)
    seqs = {run["_id"]: run["seq"] for run in runs}
    for name in ("first", "second"):
        started: defaultdict[Any, list[int]] = defaultdict(list)
        for called, context in stage.calls:
            if called == name:
                started[context.entity_id].append(seqs[context.execution_id])
        assert len(started) == ENTITIES
        assert all(numbers == sorted(set(numbers)) for numbers in started.values())


async def test_steps_of_one_entity_never_run_at_the_same_time(mongo_uri: str, database: Database) -> None:
    stage = Stage()
    at_work: set[Any] = set()
    most = 0

    async def overlap(context: Context) -> Outcome:
        nonlocal most
        assert context.entity_id not in at_work
        at_work.add(context.entity_id)
        most = max(most, len(at_work))
        await asyncio.sleep(0.005)
        at_work.discard(context.entity_id)
        return Done({})

    stage.plays("remote", overlap)
    await database.leads.insert_many([{"_id": number} for number in range(5)])
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(updated("count"), actions=[{"type": "remote"}, {"type": "remote"}])
        for _ in range(6):
            await bench.leads.update_many({}, {"$inc": {"count": 1}})
        runs = await bench.ended(workflow_id, 30)
    assert {run["status"] for run in runs} == {"completed"}
    assert most > 1


async def test_an_entity_that_is_made_again_does_not_overtake_what_is_at_work_for_it(
    mongo_uri: str, database: Database
) -> None:
    stage, released = Stage(), asyncio.Event()

    async def linger(context: Context) -> Outcome:
        await released.wait()
        return Done({})

    stage.plays("remote", linger)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        slow = await bench.add(created(), actions=[{"type": "remote"}], enrollment="once")
        quick = await bench.add(created(), conditions=[{"field": "again", "operator": "exists"}])
        await bench.leads.insert_one({"_id": 1})
        await eventually(lambda: stage.calls)
        await bench.leads.delete_one({"_id": 1})
        await bench.leads.insert_one({"_id": 1, "again": True})
        assert [run["status"] for run in await bench.runs(quick)] == ["pending"]
        released.set()
        (before,), (after,) = await bench.ended(slow, 1), await bench.ended(quick, 1)
        assert before["completed_at"] <= after["completed_at"]
