"""What people do to executions: by request, by command, by editing the document; and that the counters stay exact."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from config.collection_names import Collections
from daemon.executions.command import CommandRefused, command_from
from daemon.executions.intervention import Interventions
from tests.support.bench import TASK, Bench, created
from tests.support.daemon import QUICK
from tests.support.edited import bench_of_module
from tests.support.stage import Stage

pytestmark = pytest.mark.tampers  # the executions are made by hand

FAILING = {"type": "update_field", "field": "address.city", "value": "Oslo"}  # fails while address is a text
LATER = {"type": "create_task", "title": "Later", "delay": "1h"}


@pytest.fixture(scope="module")
async def bench(mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[Bench]:
    async with bench_of_module(mongo_uri, mongo_client, Stage(), QUICK) as running:
        yield running


async def lead(bench: Bench) -> ObjectId:
    inserted: ObjectId = (await bench.leads.insert_one({"name": "Ada", "address": "unknown"})).inserted_id
    return inserted


async def mend(bench: Bench) -> None:
    await bench.leads.update_many({}, {"$set": {"address": {}}})


async def in_state(bench: Bench, workflow_id: Any, **expected: Any) -> dict[str, Any]:
    """Return the only execution of a workflow once it is as expected."""

    async def look() -> object:
        run = await bench.executions.find_one({"workflow_id": workflow_id})
        assert run is not None
        assert {key: run.get(key) for key in expected} == expected, run
        return run

    run = await bench.committed(look)
    assert isinstance(run, dict)
    return run


async def counts(bench: Bench, workflow_id: Any) -> tuple[int, int, int]:
    """Return what the workflow's counters sum up to: ended, completed, failed."""
    found = await bench.state.find({"kind": "counter", "workflow_id": workflow_id}).to_list()
    names = ("execution_count", "success_count", "failure_count")
    ended, completed, failed = (sum(counter.get(name, 0) for counter in found) for name in names)
    return ended, completed, failed


async def ask(bench: Bench, **request: Any) -> Mapping[str, Any]:
    """Insert a request; return it once it was answered."""
    requests = bench.database["workflow_requests"]
    request_id = (await requests.insert_one(dict(request))).inserted_id

    async def answer() -> object:
        return await requests.find_one({"_id": request_id, "answered_at": {"$exists": True}})

    answered = await bench.committed(answer)
    assert isinstance(answered, dict)
    return answered


def interventions(bench: Bench) -> Interventions:
    return Interventions(bench.database, Collections(), lambda: datetime.now(UTC))


async def tasks_of(bench: Bench, execution_id: Any) -> int:
    return await bench.database["tasks"].count_documents({"execution_id": execution_id})


async def test_a_retry_repeats_the_failed_step_and_no_other(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[TASK, FAILING, {**TASK, "title": "After"}])
    await lead(bench)
    (failed,) = await bench.ended(workflow, 1)
    assert [record["status"] for record in failed["actions_executed"]] == ["success", "failed", "success"]
    assert await counts(bench, workflow) == (1, 0, 1)

    await mend(bench)
    answer = await ask(bench, execution_id=failed["_id"], do="retry")
    run = await in_state(bench, workflow, status="completed")
    assert answer["status"] == "accepted"
    assert [record["status"] for record in run["actions_executed"]] == ["success", "success", "success"]
    assert await tasks_of(bench, run["_id"]) == 2
    assert [each["step"] for each in run["retried"]] == [1]
    assert await counts(bench, workflow) == (1, 1, 0)


async def test_a_retry_goes_on_with_the_steps_that_a_failure_kept_from_running(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[{**FAILING, "on_failure": "stop"}, TASK])
    await lead(bench)
    (failed,) = await bench.ended(workflow, 1)
    assert len(failed["actions_executed"]) == 1
    await mend(bench)
    await interventions(bench).perform(command_from({"execution_id": str(failed["_id"]), "do": "retry"}))
    run = await in_state(bench, workflow, status="completed")
    assert [record["action_type"] for record in run["actions_executed"]] == ["update_field", "create_task"]


async def test_a_retry_that_fails_again_counts_once(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[FAILING])
    await lead(bench)
    (failed,) = await bench.ended(workflow, 1)
    await ask(bench, execution_id=failed["_id"], do="retry")
    again = await in_state(bench, workflow, status="failed")
    assert again["completed_at"] > failed["completed_at"]
    assert await counts(bench, workflow) == (1, 0, 1)


async def test_setting_a_failed_execution_to_pending_by_hand_retries_it(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[TASK, FAILING])
    await lead(bench)
    (failed,) = await bench.ended(workflow, 1)
    await mend(bench)
    now = datetime.now(UTC)
    await bench.executions.update_one({"_id": failed["_id"]}, {"$set": {"status": "pending", "due_at": now}})
    run = await in_state(bench, workflow, status="completed")
    assert await tasks_of(bench, run["_id"]) == 1
    assert await counts(bench, workflow) == (1, 1, 0)


async def test_a_completed_execution_set_to_pending_by_hand_is_put_back(bench: Bench) -> None:
    workflow = await bench.add(created())
    await lead(bench)
    (done,) = await bench.ended(workflow, 1)
    now = datetime.now(UTC)
    await bench.executions.update_one({"_id": done["_id"]}, {"$set": {"status": "pending", "due_at": now}})
    run = await in_state(bench, workflow, status="completed", due_at=None)
    assert "retry refused" in run["last_error"]
    assert await counts(bench, workflow) == (1, 1, 0)


@pytest.mark.parametrize("also", [{}, {"$unset": {"due_at": ""}}])
async def test_setting_a_waiting_execution_to_cancelled_by_hand_ends_it(bench: Bench, also: dict[str, Any]) -> None:
    workflow = await bench.add(created(), actions=[LATER])
    await lead(bench)
    waiting = await in_state(bench, workflow, status="waiting")
    await bench.executions.update_one({"_id": waiting["_id"]}, {"$set": {"status": "cancelled"}, **also})

    async def is_settled() -> object:
        return await bench.executions.find_one({"_id": waiting["_id"], "completed_at": {"$type": "date"}})

    await bench.committed(is_settled)
    run = await in_state(bench, workflow, status="cancelled", due_at=None, actions_executed=[])
    assert run["counted_as"] == "cancelled"
    assert await counts(bench, workflow) == (1, 0, 0)


async def test_cancelling_takes_a_waiting_execution_out_of_the_queue_and_retrying_puts_it_back(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[LATER])
    await lead(bench)
    waiting = await in_state(bench, workflow, status="waiting")
    assert (await ask(bench, execution_id=waiting["_id"], do="cancel"))["status"] == "accepted"
    await in_state(bench, workflow, status="cancelled", due_at=None)
    assert await counts(bench, workflow) == (1, 0, 0)

    await ask(bench, execution_id=waiting["_id"], do="retry")
    run = await in_state(bench, workflow, status="completed")
    assert await tasks_of(bench, run["_id"]) == 1
    assert await counts(bench, workflow) == (1, 1, 0)


async def test_a_held_execution_can_be_cancelled(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[LATER])
    await lead(bench)
    waiting = await in_state(bench, workflow, status="waiting")
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "paused"}})
    await in_state(bench, workflow, status="held")
    await ask(bench, execution_id=waiting["_id"], do="cancel")
    await in_state(bench, workflow, status="cancelled", held_due_at=None)


async def test_what_was_cancelled_by_a_stop_runs_again_once_the_workflow_is_active(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[LATER])
    await lead(bench)
    waiting = await in_state(bench, workflow, status="waiting")
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "stopped"}})
    await in_state(bench, workflow, status="cancelled")
    assert (await ask(bench, execution_id=waiting["_id"], do="retry"))["reason"].startswith("stopped")
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "active"}})
    await ask(bench, execution_id=waiting["_id"], do="retry")
    await in_state(bench, workflow, status="completed")
    assert await counts(bench, workflow) == (1, 1, 0)


async def uncertain(bench: Bench, workflow: Any, **fields: Any) -> dict[str, Any]:
    """Return an execution of ``workflow`` that failed, with its first step made uncertain."""
    await lead(bench)
    (failed,) = await bench.ended(workflow, 1)
    change = {"actions_executed.0.status": "uncertain", **fields}
    await bench.executions.update_one({"_id": failed["_id"]}, {"$set": change})
    return failed


async def test_resolving_an_uncertain_step_as_success_completes_the_execution(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[FAILING])
    failed = await uncertain(bench, workflow)
    refused = await ask(bench, execution_id=failed["_id"], do="retry")
    assert "uncertain: resolve" in refused["reason"]
    await ask(bench, execution_id=failed["_id"], do="resolve", **{"as": "success"})
    run = await in_state(bench, workflow, status="completed")
    assert run["actions_executed"][0]["status"] == "success"
    assert await counts(bench, workflow) == (1, 1, 0)


async def test_an_uncertain_step_resolved_as_failed_can_be_retried(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[FAILING])
    failed = await uncertain(bench, workflow)
    await mend(bench)
    await ask(bench, execution_id=failed["_id"], do="resolve", **{"as": "failed"})
    assert await counts(bench, workflow) == (1, 0, 1)
    await ask(bench, execution_id=failed["_id"], do="retry")
    await in_state(bench, workflow, status="completed")


async def test_the_steps_behind_an_uncertain_one_run_once_it_is_resolved(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[{**FAILING, "on_failure": "stop"}, TASK])
    failed = await uncertain(bench, workflow)
    await ask(bench, execution_id=failed["_id"], do="resolve", **{"as": "success"})
    run = await in_state(bench, workflow, status="completed")
    assert [record["status"] for record in run["actions_executed"]] == ["success", "success"]
    assert await counts(bench, workflow) == (1, 1, 0)


async def test_a_command_on_an_unknown_execution_is_refused(bench: Bench) -> None:
    answer = await ask(bench, execution_id=ObjectId(), do="retry")
    assert (answer["status"], answer["reason"]) == ("refused", "execution_not_found")


async def test_a_command_that_makes_no_sense_is_answered_with_what_was_expected(bench: Bench) -> None:
    answer = await ask(bench, execution_id=ObjectId(), do="retri")
    assert "did you mean 'retry'?" in answer["reason"]


async def test_a_document_that_the_daemon_did_not_write_is_refused_as_corrupt(bench: Bench) -> None:
    broken = (await bench.executions.insert_one({"status": "failed", "actions_executed": 7})).inserted_id
    with pytest.raises(CommandRefused, match="corrupt"):
        await interventions(bench).perform(command_from({"execution_id": broken, "do": "retry"}))
