"""Branches and ends, as they run: the way is that of the entity as it is then, and the history says why."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from actions.context import Context
from actions.document_id import document_id
from actions.outcome import Done, Fail, Outcome, Retry
from tests.integration.test_budgets import COSTLY, TEXT
from tests.support.bench import Bench, created, deleted, running_bench
from tests.support.stage import Stage


def local(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "local", "name": name, **more}


def over(score: int) -> list[dict[str, Any]]:
    return [{"field": "score", "operator": "greater_than", "value": score}]


TIERS = {
    "type": "branch",
    "cases": [
        {"name": "hot", "conditions": over(80), "actions": [local("call")]},
        {"name": "warm", "conditions": over(40), "actions": [local("write"), local("remember", delay=0.01)]},
    ],
    "otherwise": [{"type": "end", "reason": "too cold"}],
}


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def bench(mongo_uri: str, database: AsyncDatabase[dict[str, Any]], stage: Stage) -> AsyncIterator[Bench]:
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as running:
        yield running


async def run_of(bench: Bench, entity: dict[str, Any], *actions: dict[str, Any]) -> dict[str, Any]:
    workflow_id = await bench.add(created(), actions=list(actions))
    await bench.leads.insert_one(entity)
    run = (await bench.ended(workflow_id, 1))[0]
    assert isinstance(run, dict)
    return run


def nodes(run: dict[str, Any]) -> list[str]:
    return [record["node"] for record in run["actions_executed"]]


async def test_the_first_case_that_holds_is_taken_and_the_execution_goes_on_behind_it(bench: Bench) -> None:
    run = await run_of(bench, {"score": 50}, TIERS, local("after"))
    assert (run["status"], nodes(run)) == ("completed", ["0", "0.cases.1.0", "0.cases.1.1", "1"])
    branch = run["actions_executed"][0]
    assert (branch["action_type"], branch["status"]) == ("branch", "success")
    result = branch["result"]
    assert (result["taken"], result["name"]) == ("cases.1", "warm")
    assert [(each["path"], each["expected"], each["actual"], each["verdict"]) for each in result["findings"]] == [
        ("actions[0].cases[0].conditions[0]", 80, 50, "not_met"),
        ("actions[0].cases[1].conditions[0]", 40, 50, "met"),
    ]


async def test_an_end_completes_the_execution_with_its_reason(bench: Bench, stage: Stage) -> None:
    run = await run_of(bench, {"score": 5}, TIERS, local("after"))
    assert (run["status"], run["reason"], nodes(run)) == ("completed", "too cold", ["0", "0.otherwise.0"])
    assert stage.keys("after") == []


async def test_without_otherwise_nothing_is_done(bench: Bench) -> None:
    only = {"type": "branch", "cases": [{"conditions": over(80), "actions": [local("call")]}]}
    run = await run_of(bench, {"score": 5}, only, local("after"))
    assert nodes(run) == ["0", "1"]
    assert run["actions_executed"][0]["result"]["taken"] is None


async def test_a_branch_sees_what_the_step_before_it_has_written(bench: Bench) -> None:
    score = {"type": "update_field", "field": "score", "value": 90}
    run = await run_of(bench, {"score": 5}, score, TIERS)
    assert run["actions_executed"][1]["result"]["taken"] == "cases.0"


async def test_a_branch_costs_no_commit_of_its_own(bench: Bench, stage: Stage) -> None:
    seen: list[dict[str, Any]] = []

    async def look(context: Context) -> Outcome:
        seen.append(await bench.executions.find_one({"_id": context.execution_id}) or {})
        return Done({})

    stage.plays("call", look)
    inner = {"type": "branch", "cases": [{"conditions": over(90), "actions": [local("call")]}]}
    outer = {"type": "branch", "cases": [{"conditions": over(80), "actions": [inner]}]}
    run = await run_of(bench, {"score": 99}, outer)
    assert [(each["at"], each["status"], each["actions_executed"]) for each in seen] == [("0", "pending", [])]
    assert nodes(run) == ["0", "0.cases.0.0", "0.cases.0.0.cases.0.0"]


async def test_what_reaches_outside_has_its_key_by_node_and_the_branch_goes_with_its_intent(
    bench: Bench, stage: Stage
) -> None:
    seen: list[dict[str, Any]] = []

    async def look(context: Context) -> Outcome:
        seen.append(await bench.executions.find_one({"_id": context.execution_id}) or {})
        return Done({})

    stage.plays("remote", look)
    branch = {"type": "branch", "cases": [{"conditions": over(1), "actions": [{"type": "remote"}]}]}
    run = await run_of(bench, {"score": 5}, branch)
    assert stage.keys("remote") == [f"{run['_id']}:0.cases.0.0"]
    assert [(each["at"], each["status"], nodes(each)) for each in seen] == [("0.cases.0.0", "running", ["0"])]


async def test_a_task_of_an_arm_has_an_id_of_its_own(bench: Bench) -> None:
    task = {"type": "create_task", "title": "Call"}
    branch = {"type": "branch", "cases": [{"conditions": over(1), "actions": [task]}]}
    run = await run_of(bench, {"score": 5}, branch, task)
    found = await bench.database["tasks"].find({"execution_id": run["_id"]}, {"_id": 1}).to_list()
    assert {each["_id"] for each in found} == {document_id(run["_id"], node) for node in ("0.cases.0.0", "1")}


async def test_a_step_in_an_arm_is_tried_again_there(bench: Bench, stage: Stage) -> None:
    tries = 0

    async def busy_once(context: Context) -> Outcome:
        nonlocal tries
        tries += 1
        return Retry("busy") if tries == 1 else Done({})

    stage.plays("call", busy_once)
    quick = local("call", retry={"initial": 0.01, "jitter": 0})
    branch = {"type": "branch", "cases": [{"conditions": over(80), "actions": [quick]}]}
    run = await run_of(bench, {"score": 90}, branch)
    assert (nodes(run), run["actions_executed"][1]["attempts"]) == (["0", "0.cases.0.0"], 2)


async def test_a_branch_that_cannot_be_judged_fails_and_is_passed(bench: Bench) -> None:
    branch = {"type": "branch", "cases": [{"conditions": COSTLY, "actions": [local("call")]}]}
    run = await run_of(bench, {"a": TEXT}, branch, local("after"))
    first = run["actions_executed"][0]
    assert (first["status"], nodes(run), run["status"]) == ("failed", ["0", "1"], "failed")
    assert first["error"].startswith("too_costly: actions[0].cases[0].conditions[0] takes more than the 200,000 steps")


async def test_the_branch_of_a_deleted_entity_is_judged_on_its_last_image(bench: Bench) -> None:
    workflow_id = await bench.add(deleted(), actions=[TIERS])
    lead = (await bench.leads.insert_one({"score": 90})).inserted_id
    await bench.leads.delete_one({"_id": lead})
    (run,) = await bench.ended(workflow_id, 1)
    assert nodes(run) == ["0", "0.cases.0.0"]


async def test_a_branch_of_an_entity_that_is_gone_is_skipped(bench: Bench) -> None:
    workflow_id = await bench.add(created(), actions=[{**TIERS, "delay": "1h"}, local("after")])
    lead = (await bench.leads.insert_one({"score": 90})).inserted_id
    await bench.runs(workflow_id)
    await bench.leads.delete_one({"_id": lead})
    await bench.executions.update_many({"workflow_id": workflow_id}, [{"$set": {"due_at": "$triggered_at"}}])
    (run,) = await bench.ended(workflow_id, 1)
    assert [record["result"] for record in run["actions_executed"]] == [{"reason": "entity_gone"}] * 2
    assert run["status"] == "completed"


async def test_a_retry_by_a_person_goes_on_at_the_failed_node_of_an_arm(bench: Bench, stage: Stage) -> None:
    async def broken(context: Context) -> Outcome:
        return Fail("broken")

    stage.plays("write", broken)
    run = await run_of(bench, {"score": 50}, TIERS, local("after"))
    assert run["status"] == "failed"
    stage.plays("write", lambda context: _done())
    await bench.database["workflow_requests"].insert_one({"execution_id": run["_id"], "do": "retry"})
    query = {"_id": run["_id"], "status": "completed", "completed_at": {"$ne": None}}
    again = await bench.committed(lambda: bench.executions.find_one(query))
    assert isinstance(again, dict)
    assert nodes(again) == nodes(run)
    assert [len(stage.keys(name)) for name in ("write", "remember", "after")] == [2, 1, 1]


async def _done() -> Outcome:
    return Done({})


async def test_what_ran_in_an_arm_when_its_owner_died_goes_on_there(bench: Bench, stage: Stage) -> None:
    remote = {"type": "remote", "name": "sent"}
    branch = {"type": "branch", "cases": [{"conditions": over(1), "actions": [remote, local("then")]}], "delay": "1h"}
    workflow_id = await bench.add(created(), actions=[branch, local("after")])
    await bench.leads.insert_one({"score": 5})
    (waiting,) = await bench.runs(workflow_id)
    record = {"node": "0", "action_type": "branch", "status": "success", "result": {"taken": "cases.0"}, "attempts": 1}
    moment = waiting["triggered_at"]
    running = {"status": "running", "at": "0.cases.0.0", "attempt": 1, "epoch": 0, "step_started_at": moment}
    history = [{**record, "started_at": moment, "executed_at": moment}]
    change = {"$set": {**running, "actions_executed": history}, "$unset": {"due_at": ""}}
    await bench.executions.update_one({"_id": waiting["_id"]}, change)
    (run,) = await bench.ended(workflow_id, 1)
    assert (nodes(run), run["status"]) == (["0", "0.cases.0.0", "0.cases.0.1", "1"], "completed")
    assert run["actions_executed"][1]["attempts"] == 2
    assert stage.keys("sent") == [f"{run['_id']}:0.cases.0.0"]


async def test_what_waits_in_an_arm_is_held_and_released_where_it_stands(bench: Bench) -> None:
    waits = {"type": "branch", "cases": [{"conditions": over(1), "actions": [local("late", delay="1h")]}]}
    workflow_id = await bench.add(created(), actions=[waits])
    await bench.leads.insert_one({"score": 5})

    async def is_in(status: str) -> dict[str, Any]:
        query = {"workflow_id": workflow_id, "status": status, "at": "0.cases.0.0"}
        found = await bench.committed(lambda: bench.executions.find_one(query))
        assert isinstance(found, dict)
        return found

    waiting = await is_in("waiting")
    assert nodes(waiting) == ["0"]
    await bench.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "paused"}})
    await is_in("held")
    await bench.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "active"}})
    assert (await is_in("waiting"))["due_at"] == waiting["due_at"]
    await bench.executions.update_one({"_id": waiting["_id"]}, [{"$set": {"due_at": "$triggered_at"}}])
    (run,) = await bench.ended(workflow_id, 1)
    assert nodes(run) == ["0", "0.cases.0.0"]


async def test_an_edit_of_the_node_to_one_that_does_not_exist_never_runs(bench: Bench, stage: Stage) -> None:
    waits = {"type": "branch", "cases": [{"conditions": over(1), "actions": [local("late", delay="1h")]}]}
    workflow_id = await bench.add(created(), actions=[waits])
    await bench.leads.insert_one({"score": 5})
    query = {"workflow_id": workflow_id, "at": "0.cases.0.0"}
    await bench.committed(lambda: bench.executions.find_one(query))
    change = [{"$set": {"at": "0.cases.7.0", "due_at": "$triggered_at"}}]
    await bench.executions.update_one(query, change)
    (run,) = await bench.ended(workflow_id, 1)
    assert (run["status"], run["reason"], stage.keys("late")) == ("failed", "corrupt", [])
