"""Retries: the delay is kept in MongoDB, attempts are counted, and both survive a restart."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from actions.context import Context
from actions.outcome import Done, Outcome, Postpone, Retry
from config.error import TransientActionError
from tests.support.bench import Bench, created, running_bench
from tests.support.stage import Stage

Database = AsyncDatabase[dict[str, Any]]
QUICK = {"max_attempts": 3, "initial": 0.02, "maximum": 0.02, "jitter": 0}


async def always(context: Context) -> Outcome:
    return Retry("the host is busy")


async def waiting_run(bench: Bench, workflow_id: Any) -> dict[str, Any]:
    """Return the execution of a workflow once its first attempt has failed, or was put off."""

    async def look() -> dict[str, Any] | None:
        was_tried = [{"attempt": 1}, {"postponed": {"$exists": True}}]
        return await bench.executions.find_one({"workflow_id": workflow_id, "$or": was_tried, "status": "waiting"})

    found = await bench.committed(look)
    assert isinstance(found, dict)
    return found


async def test_a_failed_attempt_waits_in_mongodb_with_its_error_and_its_number(
    mongo_uri: str, database: Database
) -> None:
    stage = Stage()
    stage.plays("remote", always)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        retry = {"initial": "1h", "maximum": "1h", "jitter": 0}
        workflow_id = await bench.add(created(), actions=[{"type": "remote", "retry": retry}])
        await bench.leads.insert_one({})
        run = await waiting_run(bench, workflow_id)
    assert (run["last_error"], run["actions_executed"]) == ("the host is busy", [])
    assert timedelta(minutes=59) < run["due_at"] - run["started_at"] < timedelta(minutes=61)


@pytest.mark.parametrize("action_type", ["local", "remote"])
async def test_a_step_is_given_up_after_the_last_attempt(mongo_uri: str, database: Database, action_type: str) -> None:
    stage = Stage()
    stage.plays("busy", always)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": action_type, "name": "busy", "retry": QUICK}])
        await bench.leads.insert_one({})
        record = (await bench.ended(workflow_id, 1))[0]["actions_executed"][0]
    assert (record["status"], record["attempts"]) == ("failed", 3)
    assert record["error"] == "gave up after 3 attempts: the host is busy"
    assert len(stage.calls) == 3


async def test_attempts_go_on_counting_after_a_restart(mongo_uri: str, database: Database) -> None:
    stage = Stage()
    stage.plays("remote", always)
    retry = {"max_attempts": 2, "initial": 2, "maximum": 2, "jitter": 0}
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote", "retry": retry}])
        await bench.leads.insert_one({})
        await waiting_run(bench, workflow_id)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        run = (await bench.ended(workflow_id, 1))[0]
    assert run["actions_executed"][0]["attempts"] == len(stage.calls) == 2


async def test_a_remote_host_may_say_when_to_come_back(mongo_uri: str, database: Database) -> None:
    async def busy_for_a_minute(context: Context) -> Outcome:
        raise TransientActionError("429", timedelta(minutes=1))

    stage = Stage()
    stage.plays("remote", busy_for_a_minute)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
        await bench.leads.insert_one({})
        run = await waiting_run(bench, workflow_id)
    assert timedelta(seconds=59) < run["due_at"] - run["started_at"] < timedelta(seconds=65)
    assert (run["attempt"], run["refunds"], run["postponed"]["times"]) == (0, 1, 1)
    assert (run["postponed"]["reason"], run["postponed"]["until"]) == ("429", run["due_at"])


async def test_a_remote_host_may_not_put_a_step_off_for_days(mongo_uri: str, database: Database) -> None:
    async def come_back_next_year(context: Context) -> Outcome:
        raise TransientActionError("429", timedelta.max)

    stage = Stage()
    stage.plays("remote", come_back_next_year)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
        await bench.leads.insert_one({})
        run = await waiting_run(bench, workflow_id)
    assert run["due_at"] - run["started_at"] < timedelta(minutes=61)


async def test_a_step_that_waits_for_its_retry_does_not_hold_up_its_entity(mongo_uri: str, database: Database) -> None:
    async def fails_once(context: Context) -> Outcome:
        return Retry("again") if context.workflow_name == "first" else Done({})

    stage = Stage()
    stage.plays("remote", fails_once)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        first = await bench.add(created(), name="first", actions=[{"type": "remote", "retry": {"initial": "1h"}}])
        second = await bench.add(created(), name="second", actions=[{"type": "remote"}])
        await bench.leads.insert_one({})
        await waiting_run(bench, first)
        await bench.ended(second, 1)


@pytest.mark.parametrize("action_type", ["local", "remote"])
async def test_a_postponed_step_runs_after_a_restart_and_costs_no_attempt(
    mongo_uri: str, database: Database, action_type: str
) -> None:
    async def later(context: Context) -> Outcome:
        return Done({}) if len(stage.calls) > 1 else Postpone(context.now + timedelta(seconds=2), "the line is full")

    stage = Stage()
    stage.plays("busy", later)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        action = {"type": action_type, "name": "busy", "retry": {**QUICK, "max_attempts": 1}}
        workflow_id = await bench.add(created(), actions=[action])
        await bench.leads.insert_one({})
        await waiting_run(bench, workflow_id)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as bench:
        run = (await bench.ended(workflow_id, 1))[0]
    assert (run["status"], run["actions_executed"][0]["attempts"], len(stage.calls)) == ("completed", 1, 2)
    assert "postponed" not in run
