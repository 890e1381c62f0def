"""Edits of thousands of executions at once: settled beside everybody else's work, with exact counters."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tests.support.bench import TASK, Bench, created
from tests.support.crowd import insert_crowd
from tests.support.poll import eventually
from tests.support.watchdog import watched_loop

pytestmark = pytest.mark.tampers  # executions are made and edited by hand

CROWD: Final = 4_000  # several pages
LEADS: Final = 50
LONGEST_TURN_S: Final = 0.05


async def failed_crowd(bench: Bench) -> Any:
    """Return the id of a workflow of which thousands of executions have failed. Their entities are gone."""
    workflow_id = await bench.add(created("deal"), actions=[TASK])
    await bench.observed(workflow_id, state="active")
    now = datetime.now(UTC)
    await insert_crowd(bench.database, workflow_id, CROWD, now + timedelta(hours=1), first_seq=1_000_000)
    record = {"action_type": "create_task", "status": "failed", "error": "broken", "attempts": 1, "executed_at": now}
    ended = {"status": "failed", "counted_as": "failed", "step": 1, "failed_steps": 1, "completed_at": now}
    change = {"$set": {**ended, "actions_executed": [record]}, "$unset": {"due_at": ""}}
    await bench.executions.update_many({"workflow_id": workflow_id}, change)
    return workflow_id


async def left(bench: Bench, workflow_id: Any) -> int:
    """Return how many executions of a workflow have not ended again."""
    return await bench.executions.count_documents({"workflow_id": workflow_id, "status": {"$ne": "completed"}})


async def test_a_retry_of_thousands_keeps_no_new_lead_waiting(bench: Bench) -> None:
    crowd = await failed_crowd(bench)
    welcome = await bench.add(created(), actions=[{**TASK, "delay": 0.2}, TASK])
    await bench.observed(welcome, state="active")
    async with watched_loop() as watchdog:
        again = {"$set": {"status": "pending", "due_at": datetime.now(UTC)}}
        await bench.executions.update_many({"workflow_id": crowd, "status": "failed"}, again)

        async def has_begun() -> object:
            return await bench.executions.find_one({"workflow_id": crowd, "completed_at": None})

        await eventually(has_begun)
        await bench.leads.insert_many([{"_id": number} for number in range(LEADS)])

        async def have_ended() -> bool:
            return await bench.executions.count_documents({"workflow_id": welcome, "status": "completed"}) == LEADS

        await eventually(have_ended)

        async def is_done() -> bool:
            return await left(bench, crowd) == 0

        await eventually(is_done, every_s=0.2)
    assert watchdog.longest_cpu_s < LONGEST_TURN_S
    counters = await bench.state.find({"kind": "counter", "workflow_id": crowd}).to_list()
    assert sum(counter["execution_count"] for counter in counters) == 0  # they were never counted as failed here
    assert sum(counter["failure_count"] for counter in counters) == -CROWD
    runs = await bench.executions.find({"workflow_id": welcome}).sort("seq", 1).to_list()
    assert [run["triggered_by_entity_id"] for run in runs] == list(range(LEADS))
    later = {"workflow_id": crowd, "completed_at": {"$gt": max(run["completed_at"] for run in runs)}}
    assert await bench.executions.count_documents(later) > CROWD / 10
