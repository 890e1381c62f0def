"""Promise 4: delays fire on time, never early, and survive restarts."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.bench import Bench, created, running_bench
from tests.support.daemon import QUICK
from tests.support.poll import eventually
from tests.support.stage import Stage

Database = AsyncDatabase[dict[str, Any]]


def lateness(run: dict[str, Any], due_at: Any) -> timedelta:
    late = run["actions_executed"][0]["started_at"] - due_at
    assert isinstance(late, timedelta)
    return late


@pytest.fixture
async def unhurried(mongo_uri: str, database: Database) -> AsyncIterator[Bench]:
    """A daemon that hardly ever looks at the queue: what runs meanwhile was fired by its timer."""
    async with running_bench(mongo_uri, database, pace=replace(QUICK, queue_s=3_600)) as running:
        yield running


async def test_two_hundred_delays_are_fired_by_a_timer_and_none_too_early(unhurried: Bench) -> None:
    bench = unhurried
    workflow_id = await bench.add(created(), actions=[{"type": "create_task", "delay": 1}])
    for _ in range(20):
        await bench.leads.insert_many([{} for _ in range(10)])
    runs = await bench.ended(workflow_id, 200)
    assert min(lateness(run, run["triggered_at"] + timedelta(seconds=1)) for run in runs) >= timedelta()


async def test_a_later_delay_counts_from_the_end_of_the_step_before(bench: Bench) -> None:
    workflow_id = await bench.add(
        created(), actions=[{"type": "create_task", "delay": 0.2}, {"type": "create_task", "delay": 0.3}]
    )
    await bench.leads.insert_one({})
    first, second = (await bench.ended(workflow_id, 1))[0]["actions_executed"]
    assert second["started_at"] - first["executed_at"] >= timedelta(seconds=0.3)


async def test_a_delayed_execution_waits_with_the_time_it_is_due(bench: Bench) -> None:
    workflow_id = await bench.add(created(), actions=[{"type": "create_task", "delay": "2d"}])
    await bench.leads.insert_one({})
    run = (await bench.runs(workflow_id))[0]
    assert (run["status"], run["due_at"]) == ("waiting", run["triggered_at"] + timedelta(days=2))


async def test_what_came_due_while_no_daemon_ran_runs_at_once_in_order(mongo_uri: str, database: Database) -> None:
    stage = Stage()
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        for delay in (3600, 7200):
            await bench.add(created(), name=str(delay), actions=[{"type": "local", "delay": delay}])
        await bench.leads.insert_many([{"_id": number} for number in range(20)])
        await bench.taken_in()
    past = [{"$set": {"due_at": {"$dateSubtract": {"startDate": "$due_at", "unit": "day", "amount": 1}}}}]
    await database.workflow_executions.update_many({"status": "waiting"}, past)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action):
        await eventually(lambda: len(stage.calls) == 40)
    for number in range(20):
        names = [context.workflow_name for _, context in stage.calls if context.entity_id == number]
        assert names == ["3600", "7200"]


async def test_a_delay_survives_a_restart(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "create_task", "delay": 2}])
        await bench.leads.insert_one({})
        await bench.taken_in()
    async with running_bench(mongo_uri, database, pace=replace(QUICK, queue_s=3_600)) as bench:
        run = (await bench.ended(workflow_id, 1))[0]
    assert lateness(run, run["triggered_at"] + timedelta(seconds=2)) >= timedelta()
