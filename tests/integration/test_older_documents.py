"""Executions that the version before left behind go on: it knew steps by number, and its records named no node."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from actions.document_id import document_id
from config.collection_names import Collections
from daemon.executions.command import command_from
from daemon.executions.intervention import Interventions
from tests.support.bench import Bench, created, running_bench
from tests.support.jobs import execution_of
from tests.support.stage import Stage

pytestmark = pytest.mark.tampers  # executions are made by hand

TASK = {"type": "create_task", "title": "Look"}
SENT = {"action_type": "send_email", "status": "uncertain", "error": "died", "attempts": 1}
DONE = {"action_type": "create_task", "status": "success", "result": {}, "attempts": 1}
FAILED = {"action_type": "create_task", "status": "failed", "error": "broken", "attempts": 1}


def ago(**since: float) -> datetime:
    return datetime.now(UTC) - timedelta(**since)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def bench(mongo_uri: str, database: AsyncDatabase[dict[str, Any]], stage: Stage) -> AsyncIterator[Bench]:
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as running:
        yield running


async def left_behind(bench: Bench, *actions: dict[str, Any], **state: Any) -> ObjectId:
    """Return the id of an execution in this state, without what the version before did not write."""
    workflow = await bench.add(created("deal"), actions=list(actions))
    await bench.observed(workflow, state="active")
    lead = (await bench.leads.insert_one({"name": "Ada"})).inserted_id
    of_ours = {"workflow_id": workflow, "triggered_by_entity_id": lead, "seq": 1_000_000}
    for record in state.get("actions_executed", ()):
        record |= {"started_at": ago(hours=1), "executed_at": ago(hours=1)}
    document = {**execution_of(due_at=ago(seconds=1)), **of_ours, **state}
    if document["status"] not in ("pending", "waiting"):
        del document["due_at"]
    await bench.executions.insert_one(document)
    execution_id: ObjectId = document["_id"]
    return execution_id


async def ended(bench: Bench, execution_id: ObjectId) -> dict[str, Any]:
    query = {"_id": execution_id, "status": {"$in": ["completed", "failed"]}, "completed_at": {"$ne": None}}
    found = await bench.committed(lambda: bench.executions.find_one(query))
    assert isinstance(found, dict)
    return found


async def tasks(bench: Bench, execution_id: ObjectId) -> list[Any]:
    found = await bench.database["tasks"].find({"execution_id": execution_id}, {"_id": 1}).to_list()
    return sorted(task["_id"] for task in found)


async def test_what_was_pending_runs_and_its_tasks_have_the_ids_they_would_have_had(bench: Bench) -> None:
    execution_id = await left_behind(bench, TASK, TASK)
    run = await ended(bench, execution_id)
    assert [record["node"] for record in run["actions_executed"]] == ["0", "1"]
    assert await tasks(bench, execution_id) == sorted(document_id(execution_id, node) for node in ("0", "1"))


async def test_what_waited_for_a_delay_goes_on_at_its_step(bench: Bench) -> None:
    state = {"status": "waiting", "step": 1, "actions_executed": [{**DONE}]}
    execution_id = await left_behind(bench, TASK, {**TASK, "delay": "1h"}, TASK, **state)
    run = await ended(bench, execution_id)
    assert [record.get("node") for record in run["actions_executed"]] == [None, "1", "2"]
    assert await tasks(bench, execution_id) == sorted(document_id(execution_id, node) for node in ("1", "2"))


async def test_what_waited_for_a_retry_keeps_its_attempts(bench: Bench) -> None:
    state = {"status": "waiting", "attempt": 2, "last_error": "busy", "started_at": ago(hours=1)}
    run = await ended(bench, await left_behind(bench, TASK, **state))
    assert run["actions_executed"][0]["attempts"] == 3
    assert "last_error" not in run


async def test_what_ran_when_its_owner_died_is_settled_with_the_key_it_had(bench: Bench, stage: Stage) -> None:
    state = {"status": "running", "attempt": 1, "epoch": 0, "step_started_at": ago(hours=1)}
    action = {"type": "remote", "name": "older"}
    execution_id = await left_behind(bench, action, **state)
    run = await ended(bench, execution_id)
    assert stage.keys("older") == [f"{execution_id}:0"]
    assert run["actions_executed"][0]["attempts"] == 2


async def test_what_was_held_is_released_at_its_step(bench: Bench) -> None:
    state = {"status": "held", "step": 1, "seq": 0, "held_due_at": ago(hours=1), "held_status": "waiting"}
    execution_id = await left_behind(bench, TASK, TASK, **state, actions_executed=[{**DONE}])
    workflow = (await bench.executions.find_one({"_id": execution_id}) or {})["workflow_id"]
    for status in ("paused", "active"):
        await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": status}})
        await bench.observed(workflow, state=status)
    run = await ended(bench, execution_id)
    assert [record.get("node") for record in run["actions_executed"]] == [None, "1"]


def interventions(bench: Bench) -> Interventions:
    return Interventions(bench.database, Collections(), lambda: datetime.now(UTC))


async def test_what_was_uncertain_is_resolved_by_its_number_and_goes_on(bench: Bench) -> None:
    state = {"status": "failed", "step": 1, "failed_steps": 1, "counted_as": "failed", "completed_at": ago(hours=1)}
    stopping = {**TASK, "on_failure": "stop"}
    execution_id = await left_behind(bench, stopping, TASK, **state, actions_executed=[{**SENT}])
    command = {"execution_id": execution_id, "do": "resolve", "as": "success", "step": 0}
    await interventions(bench).perform(command_from(command))
    run = await ended(bench, execution_id)
    assert (run["status"], [record["status"] for record in run["actions_executed"]]) == ("completed", ["success"] * 2)


async def test_a_retry_that_was_under_way_repeats_what_is_left_of_it_and_no_more(bench: Bench) -> None:
    records = [{**FAILED}, {**DONE}, {**FAILED}]
    state = {
        "step": 0,
        "redo": [2, 3],
        "failed_steps": 0,
        "retried": [{"step": 0}, {"step": 2}],
        "started_at": ago(hours=1),
    }
    execution_id = await left_behind(bench, TASK, TASK, TASK, TASK, **state, actions_executed=records)
    run = await ended(bench, execution_id)
    assert (run["status"], [record["status"] for record in run["actions_executed"]]) == ("completed", ["success"] * 4)
    assert await tasks(bench, execution_id) == sorted(document_id(execution_id, node) for node in ("0", "2", "3"))


async def test_a_step_that_a_replica_of_the_version_before_has_moved_is_believed(bench: Bench) -> None:
    state = {"status": "waiting", "step": 1, "actions_executed": [{**DONE}]}
    execution_id = await left_behind(bench, TASK, {**TASK, "delay": "1h"}, **state, due_at=ago(hours=-1))
    moved = {"at": "0", "due_at": ago(seconds=1)}
    await bench.executions.update_one({"_id": execution_id}, {"$set": moved})
    run = await ended(bench, execution_id)
    assert [record.get("node") for record in run["actions_executed"]] == [None, "1"]
