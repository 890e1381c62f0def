"""Switches and what waits: held, released, cancelled, drained; effective before the next step."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from actions.context import Context
from actions.outcome import Done, Outcome
from config.settings import Collections
from daemon.clock import ServerClock
from daemon.metrics import Metrics
from daemon.workflows.switcher import Switcher
from tests.support.bench import Bench, created, running_bench
from tests.support.stage import Stage

Database = AsyncDatabase[dict[str, Any]]
LATER = {"type": "create_task", "delay": "1h"}


async def switch(bench: Bench, workflow_id: Any, status: str) -> None:
    await bench.workflows.update_one({"_id": workflow_id}, {"$set": {"status": status}})


async def count(bench: Bench, workflow_id: Any, status: str) -> int:
    return await bench.executions.count_documents({"workflow_id": workflow_id, "status": status})


async def until(bench: Bench, workflow_id: Any, status: str, number: int) -> None:
    """Return once ``number`` executions of a workflow have this status."""

    async def look() -> bool:
        found = await count(bench, workflow_id, status)
        assert found == number, f"{found} are {status}"
        return True

    await bench.committed(look)


async def waiting(bench: Bench, number: int) -> Any:
    """Return the id of a workflow of which ``number`` executions wait."""
    workflow_id = await bench.add(created(), actions=[LATER])
    await bench.leads.insert_many([{"_id": each} for each in range(number)])
    await bench.taken_in()
    await until(bench, workflow_id, "waiting", number)
    return workflow_id


async def test_a_pause_takes_what_waits_out_of_the_queue_and_keeps_its_time(bench: Bench) -> None:
    workflow_id = await waiting(bench, 1)
    before = (await bench.runs(workflow_id))[0]
    await switch(bench, workflow_id, "paused")
    await until(bench, workflow_id, "held", 1)
    run = (await bench.runs(workflow_id))[0]
    assert run["held_due_at"] == before["due_at"]
    assert "due_at" not in run


async def test_after_a_pause_each_step_has_its_own_time_and_what_is_overdue_runs_in_the_order_it_was_due(
    mongo_uri: str, database: Database
) -> None:
    stage = Stage()
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "local", "delay": "1h"}])
        await bench.leads.insert_many([{"_id": number} for number in range(20)])
        due_at = {run["triggered_by_entity_id"]: run["due_at"] for run in await bench.runs(workflow_id)}
        overdue = [7, 3, 11, 2, 19]
        for status in ("paused", "active", "paused", "draining", "paused"):
            await switch(bench, workflow_id, status)
            await until(bench, workflow_id, "held" if status == "paused" else "waiting", 20)
        for minutes, lead in enumerate(reversed(overdue), 1):
            past = due_at[lead] - timedelta(hours=2, minutes=minutes)
            await bench.executions.update_one({"triggered_by_entity_id": lead}, {"$set": {"held_due_at": past}})
        await switch(bench, workflow_id, "draining")
        await bench.ended(workflow_id, len(overdue))
        waiting = await bench.executions.find({"workflow_id": workflow_id, "status": "waiting"}).to_list()
    assert [context.entity_id for _, context in stage.calls] == overdue
    left = {run["triggered_by_entity_id"]: run["due_at"] for run in waiting}
    assert left == {lead: at for lead, at in due_at.items() if lead not in overdue}


async def test_what_waits_is_finished_while_its_workflow_drains(bench: Bench) -> None:
    workflow_id = await bench.add(created(), actions=[{"type": "create_task", "delay": 0.5}])
    await bench.leads.insert_many([{} for _ in range(5)])
    await bench.taken_in()
    await switch(bench, workflow_id, "draining")
    await bench.leads.insert_one({})
    await bench.ended(workflow_id, 5)
    assert len(await bench.runs(workflow_id)) == 5


@pytest.mark.parametrize("held", [False, True])
async def test_a_stop_cancels_what_waits_whether_it_is_held_or_not(bench: Bench, held: bool) -> None:
    workflow_id = await waiting(bench, 3)
    if held:
        await switch(bench, workflow_id, "paused")
        await until(bench, workflow_id, "held", 3)
    await switch(bench, workflow_id, "stopped")
    runs = await bench.ended(workflow_id, 3)
    assert {(run["status"], run["reason"]) for run in runs} == {("cancelled", "stopped")}
    assert not any("due_at" in run or "held_due_at" in run for run in runs)


async def test_a_deleted_workflow_is_a_stopped_one(bench: Bench) -> None:
    workflow_id = await waiting(bench, 3)
    await bench.workflows.delete_one({"_id": workflow_id})
    assert {run["status"] for run in await bench.ended(workflow_id, 3)} == {"cancelled"}


async def test_what_waited_at_a_stop_stays_cancelled_though_the_workflow_is_activated_at_once(bench: Bench) -> None:
    workflow_id = await waiting(bench, 3)
    await switch(bench, workflow_id, "stopped")
    await switch(bench, workflow_id, "active")
    await bench.leads.insert_one({"_id": "new"})
    await bench.taken_in()
    await until(bench, workflow_id, "cancelled", 3)
    await until(bench, workflow_id, "waiting", 1)


@pytest.mark.tampers
@pytest.mark.parametrize("second", [7, 9])  # the commit of the second switch: that of the first, or a later one
async def test_switches_that_are_applied_together_are_applied_in_the_order_of_the_stream(
    database: Database, second: int
) -> None:
    """The last one counts at once, though a later look would put right what an earlier one did after it."""
    switcher = Switcher(
        database, Collections(), ServerClock(database), Metrics(), lanes=1, on_applied=lambda workflow_id: None
    )
    await switcher.poll()  # brings everything in line, once a minute
    due_at = datetime(2099, 1, 1, tzinfo=UTC)
    waits = {"workflow_id": "w", "seq": 1, "lane": 0, "status": "waiting", "due_at": due_at}
    await database.workflow_executions.insert_one(waits)
    pending = [
        {"_id": {"workflow_id": "w", "version": version}, "workflow_id": "w", "version": version}
        | {"at_seq": 1, "changed_seq": changed_seq, "transition": transition}
        for version, changed_seq, transition in ((2, 7, "hold"), (3, second, "release"))
    ]
    await database.workflow_versions.insert_many(reversed(pending))
    await switcher.poll()
    run = await database.workflow_executions.find_one({"workflow_id": "w"}) or {}
    assert (run["status"], run["due_at"]) == ("waiting", due_at)
    assert await database.workflow_versions.count_documents({"transition": {"$exists": True}}) == 0


async def test_a_stop_is_effective_between_two_steps(mongo_uri: str, database: Database) -> None:
    stage = Stage()
    at_work, may_end = asyncio.Event(), asyncio.Event()

    async def first(context: Context) -> Outcome:
        at_work.set()
        await may_end.wait()
        return Done({})

    stage.plays("remote", first)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}, {"type": "local"}])
        await bench.leads.insert_one({})
        await at_work.wait()
        await switch(bench, workflow_id, "stopped")
        await bench.taken_in()
        may_end.set()
        run = (await bench.ended(workflow_id, 1))[0]
    assert (run["status"], len(run["actions_executed"])) == ("cancelled", 1)
    assert [name for name, _ in stage.calls] == ["remote"]


async def test_a_step_that_ends_under_a_pause_is_followed_by_the_next_one_only_after_it(
    mongo_uri: str, database: Database
) -> None:
    stage = Stage()
    at_work, may_end = asyncio.Event(), asyncio.Event()

    async def first(context: Context) -> Outcome:
        at_work.set()
        await may_end.wait()
        return Done({})

    stage.plays("remote", first)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}, {"type": "local"}])
        await bench.leads.insert_one({})
        await at_work.wait()
        await switch(bench, workflow_id, "paused")
        await bench.taken_in()
        may_end.set()
        await until(bench, workflow_id, "held", 1)
        assert [name for name, _ in stage.calls] == ["remote"]
        await switch(bench, workflow_id, "active")
        await bench.ended(workflow_id, 1)
    assert [name for name, _ in stage.calls] == ["remote", "local"]


async def test_five_thousand_are_held_released_and_cancelled_with_exact_counters(bench: Bench) -> None:
    workflow_id = await bench.add(created(), actions=[LATER])
    for start in range(0, 5_000, 1_000):
        await bench.leads.insert_many([{"_id": number} for number in range(start, start + 1_000)])
    await until(bench, workflow_id, "waiting", 5_000)
    await switch(bench, workflow_id, "paused")
    await bench.observed(workflow_id, state="paused", held=5_000, in_flight=0)
    await switch(bench, workflow_id, "stopped")
    await bench.observed(workflow_id, state="stopped", held=0, in_flight=0)
    await until(bench, workflow_id, "cancelled", 5_000)
    counters = await bench.state.find({"kind": "counter", "workflow_id": workflow_id}).to_list()
    assert sum(counter["execution_count"] for counter in counters) == 5_000
    assert sum(counter["success_count"] + counter["failure_count"] for counter in counters) == 0


async def test_a_pause_survives_a_restart_and_so_does_what_it_holds(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database) as bench:
        workflow_id = await waiting(bench, 3)
        await switch(bench, workflow_id, "paused")
        await until(bench, workflow_id, "held", 3)
        held = [run["held_due_at"] for run in await bench.runs(workflow_id)]
    await database.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "active"}})
    await database.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "paused"}})
    async with running_bench(mongo_uri, database) as bench:
        await bench.taken_in()
        assert await count(bench, workflow_id, "held") == 3
        await switch(bench, workflow_id, "active")
        await until(bench, workflow_id, "waiting", 3)
        assert [run["due_at"] for run in await bench.runs(workflow_id)] == held


async def test_a_switch_made_while_no_daemon_ran_is_applied_at_the_next_start(
    mongo_uri: str, database: Database
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        workflow_id = await waiting(bench, 3)
    await database.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "stopped"}})
    async with running_bench(mongo_uri, database) as bench:
        assert {run["status"] for run in await bench.ended(workflow_id, 3)} == {"cancelled"}


async def test_what_came_to_wait_unseen_under_a_switch_is_brought_in_line(mongo_uri: str, database: Database) -> None:
    """A step that ended long after the switch, or a retry by hand, leaves what the switch has not met."""
    async with running_bench(mongo_uri, database) as bench:
        paused = await waiting(bench, 2)
        await switch(bench, paused, "paused")
        await until(bench, paused, "held", 2)
    astray: list[Mapping[str, Any]] = [
        {"$set": {"status": {"$cond": [{"$eq": ["$triggered_by_entity_id", 0]}, "waiting", "pending"]}}},
        {"$set": {"due_at": "$held_due_at"}},
        {"$unset": "held_due_at"},
    ]
    await database.workflow_executions.update_many({"workflow_id": paused}, astray)
    async with running_bench(mongo_uri, database) as bench:
        await until(bench, paused, "held", 2)
