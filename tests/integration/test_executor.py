"""Steps as they run in a whole daemon: conditions, failures, what is recorded of them."""

import asyncio
from typing import Any

import pytest

from actions.context import Context
from actions.outcome import Done, EntityUpdate, Fail, Outcome, Retry, Skip
from tests.support.bench import Bench, created
from tests.support.stage import Stage

NO_RETRY = {"retry": False}
QUICK = {"initial": 0.02, "maximum": 0.02, "jitter": 0}


@pytest.fixture
def bench(alone: Bench) -> Bench:
    return alone


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    return shared_stage


async def run_of(bench: Bench, *actions: dict[str, Any], lead: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the ended execution of a workflow with these actions, started by a new lead."""
    workflow_id = await bench.add(created(), actions=list(actions))
    await bench.leads.insert_one({"name": "Ada", **(lead or {})})
    return (await bench.ended(workflow_id, 1))[0]


def statuses(run: dict[str, Any]) -> list[str]:
    return [record["status"] for record in run["actions_executed"]]


async def test_a_step_is_recorded_with_its_type_status_result_attempts_and_times(bench: Bench) -> None:
    run = await run_of(bench, {"type": "local"})
    record = run["actions_executed"][0]
    assert list(record) == ["node", "action_type", "status", "result", "attempts", "started_at", "executed_at"]
    assert record["node"] == "0"
    assert (record["action_type"], record["status"], record["result"], record["attempts"]) == (
        "local",
        "success",
        {"name": "local"},
        1,
    )
    assert run["triggered_at"] <= run["started_at"] <= record["started_at"] <= record["executed_at"]


async def test_an_ended_execution_has_an_end_and_is_not_queued(bench: Bench) -> None:
    run = await run_of(bench, {"type": "local"})
    assert (run["status"], run["step"], run["attempt"]) == ("completed", 1, 0)
    assert run["completed_at"] == run["actions_executed"][-1]["executed_at"]
    assert "due_at" not in run


async def test_a_failed_step_carries_its_error_and_fails_the_execution(bench: Bench, stage: Stage) -> None:
    stage.plays("broken", returns(Fail("no such customer")))
    run = await run_of(bench, {"type": "local", "name": "broken"})
    record = run["actions_executed"][0]
    assert (run["status"], record["status"], record["error"]) == ("failed", "failed", "no such customer")
    assert "result" not in record


async def test_later_steps_run_after_a_failed_one(bench: Bench, stage: Stage) -> None:
    stage.plays("broken", returns(Fail("no")))
    run = await run_of(bench, {"type": "local", "name": "broken"}, {"type": "local"})
    assert (run["status"], statuses(run)) == ("failed", ["failed", "success"])


async def test_later_steps_do_not_run_where_a_failure_is_to_stop_them(bench: Bench, stage: Stage) -> None:
    stage.plays("broken", returns(Fail("no")))
    run = await run_of(bench, {"type": "local", "name": "broken", "on_failure": "stop"}, {"type": "local"})
    assert (run["status"], statuses(run)) == ("failed", ["failed"])


async def test_an_execution_whose_steps_were_skipped_is_completed(bench: Bench, stage: Stage) -> None:
    stage.plays("idle", returns(Skip("no_email")))
    run = await run_of(bench, {"type": "local", "name": "idle"})
    assert (run["status"], statuses(run)) == ("completed", ["skipped"])
    assert run["actions_executed"][0]["result"] == {"reason": "no_email"}


async def test_step_conditions_are_judged_on_the_entity_as_the_step_before_left_it(bench: Bench) -> None:
    hot = {"field": "stage", "operator": "equals", "value": "hot"}
    cold = {"field": "stage", "operator": "equals", "value": "cold"}
    run = await run_of(
        bench,
        {"type": "update_field", "field": "stage", "value": "hot"},
        {"type": "local", "conditions": [hot]},
        {"type": "local", "conditions": [cold]},
        lead={"stage": "cold"},
    )
    assert statuses(run) == ["success", "success", "skipped"]
    assert run["actions_executed"][2]["result"] == {"reason": "conditions_not_met"}


async def test_steps_of_a_vanished_entity_are_skipped(bench: Bench, stage: Stage) -> None:
    async def delete(context: Context) -> Outcome:
        await bench.leads.delete_one({"_id": context.entity_id})
        return Done({})

    stage.plays("delete", delete)
    run = await run_of(bench, {"type": "remote", "name": "delete"}, {"type": "local"})
    assert (run["status"], statuses(run)) == ("completed", ["success", "skipped"])
    assert run["actions_executed"][1]["result"] == {"reason": "entity_gone"}


async def test_a_step_whose_entity_vanishes_before_its_commit_is_skipped(bench: Bench, stage: Stage) -> None:
    async def delete_and_write(context: Context) -> Outcome:
        await bench.leads.delete_one({"_id": context.entity_id})
        return Done({}, (EntityUpdate({"score": 1}),))

    stage.plays("late", delete_and_write)
    run = await run_of(bench, {"type": "local", "name": "late"})
    assert run["actions_executed"][0]["result"] == {"reason": "entity_gone"}


@pytest.mark.parametrize("action_type", ["local", "remote"])
@pytest.mark.parametrize("error", [ValueError("secret"), TimeoutError("secret"), RecursionError("secret")])
async def test_an_action_that_raises_fails_its_step_and_nothing_else(
    bench: Bench, stage: Stage, action_type: str, error: Exception
) -> None:
    async def raise_it(context: Context) -> Outcome:
        raise error

    stage.plays("raising", raise_it)
    run = await run_of(bench, {"type": action_type, "name": "raising", **NO_RETRY}, {"type": "local"})
    assert statuses(run) == ["failed", "success"]
    assert run["actions_executed"][0]["error"] == f"the action failed unexpectedly: {type(error).__name__}"


@pytest.mark.parametrize("answer", [None, True, {"status": "success"}, Done(None), Done({"value": object()})])  # type: ignore[arg-type]
async def test_what_is_no_proper_outcome_is_a_failure(bench: Bench, stage: Stage, answer: Any) -> None:
    stage.plays("odd", returns(answer))
    run = await run_of(bench, {"type": "local", "name": "odd"}, {"type": "remote", "name": "odd"}, {"type": "local"})
    assert statuses(run) == ["failed", "failed", "success"]


@pytest.mark.parametrize("action_type", ["local", "remote"])
async def test_an_attempt_is_cut_off_at_its_deadline(bench: Bench, stage: Stage, action_type: str) -> None:
    stage.plays("hanging", hang)
    run = await run_of(bench, {"type": action_type, "name": "hanging", "timeout": 0.1, **NO_RETRY})
    assert run["actions_executed"][0]["error"] == "no end within 0.1 s"


async def test_a_retried_step_tells_how_many_attempts_it_took(bench: Bench, stage: Stage) -> None:
    async def third_time(context: Context) -> Outcome:
        return Done({}) if len(stage.calls) == 3 else Retry("not yet")

    stage.plays("slow", third_time)
    run = await run_of(bench, {"type": "remote", "name": "slow", "retry": QUICK}, {"type": "local"})
    assert [record["attempts"] for record in run["actions_executed"]] == [3, 1]
    assert "last_error" not in run


async def test_counters_tell_how_executions_ended(bench: Bench, stage: Stage) -> None:
    async def odd_ones_fail(context: Context) -> Outcome:
        return Fail("odd") if context.entity["number"] % 2 else Done({})

    stage.plays("odd", odd_ones_fail)
    workflow_id = await bench.add(created(), actions=[{"type": "local", "name": "odd"}])
    await bench.leads.insert_many([{"number": number} for number in range(50)])
    await bench.ended(workflow_id, 50)
    counters = await bench.state.find({"kind": "counter", "workflow_id": workflow_id}).to_list()
    sums = {
        name: sum(counter[name] for counter in counters)
        for name in ("execution_count", "success_count", "failure_count")
    }
    assert sums == {"execution_count": 50, "success_count": 25, "failure_count": 25}


def returns(outcome: Any) -> Any:
    async def act(context: Context) -> Any:
        return outcome

    return act


async def hang(context: Context) -> Outcome:
    await asyncio.Event().wait()
    return Done({})
