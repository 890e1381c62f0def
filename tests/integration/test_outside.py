"""Steps that reach outside MongoDB: intent before effect, slots, crashes and takeovers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from actions.context import Context
from actions.outcome import Done, Outcome, Retry
from config.limits import Limits
from tests.support.bench import Bench, created, running_bench
from tests.support.commits import committed
from tests.support.poll import eventually
from tests.support.signal import Signal
from tests.support.stage import Stage

Database = AsyncDatabase[dict[str, Any]]
LEASES = 32 + 1  # the lanes by default, and the reader's role


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def bench(mongo_uri: str, database: Database, stage: Stage) -> AsyncIterator[Bench]:
    async with staged(mongo_uri, database, stage) as running:
        yield running


@asynccontextmanager
async def staged(uri: str, database: Database, stage: Stage, **settings: Any) -> AsyncIterator[Bench]:
    async with running_bench(uri, database, parse_action=stage.parse_action, **settings) as running:
        yield running


class Gate:
    """An action that waits until the gate is opened, and counts how many wait at once."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.signal = Signal()
        self.inside = 0
        self.most = 0

    async def __call__(self, context: Context) -> Outcome:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.signal.changed()
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1
            self.signal.changed()
        return Done({})


async def test_the_intent_is_stored_before_the_effect(bench: Bench, stage: Stage) -> None:
    seen: list[dict[str, Any]] = []

    async def look(context: Context) -> Outcome:
        seen.append(await bench.executions.find_one({"_id": context.execution_id}) or {})
        return Done({})

    stage.plays("remote", look)
    workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
    await bench.leads.insert_one({})
    await bench.ended(workflow_id, 1)
    assert [(run["status"], run["attempt"], "due_at" in run) for run in seen] == [("running", 1, False)]


async def test_every_attempt_has_the_same_key(bench: Bench, stage: Stage) -> None:
    async def second_time(context: Context) -> Outcome:
        return Done({}) if context.attempt == 2 else Retry("again")

    stage.plays("remote", second_time)
    retry = {"initial": 0.02, "maximum": 0.02, "jitter": 0}
    workflow_id = await bench.add(created(), actions=[{"type": "remote", "retry": retry}])
    await bench.leads.insert_one({})
    run = (await bench.ended(workflow_id, 1))[0]
    assert stage.keys("remote") == [f"{run['_id']}:0"] * 2


async def test_no_more_steps_run_at_once_than_the_limit_says(mongo_uri: str, database: Database, stage: Stage) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    async with staged(mongo_uri, database, stage, concurrency=3) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
        await bench.leads.insert_many([{} for _ in range(12)])
        await bench.taken_in()
        await gate.signal.until(lambda: gate.inside == 3)
        gate.opened.set()
        await bench.ended(workflow_id, 12)
    assert gate.most == 3


async def test_a_slow_host_of_one_workflow_does_not_keep_another_from_its_turn(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    served: list[str] = []
    turns = asyncio.Semaphore(0)

    async def in_turns(context: Context) -> Outcome:
        await turns.acquire()
        served.append(context.workflow_name)
        return Done({})

    stage.plays("remote", in_turns)
    async with staged(mongo_uri, database, stage, concurrency=1) as bench:
        many = await bench.add(created(), name="many", actions=[{"type": "remote"}])
        await bench.leads.insert_many([{} for _ in range(20)])
        few = await bench.add(created("deal"), name="few", actions=[{"type": "remote"}])
        await bench.deals.insert_one({})
        await bench.taken_in()
        await eventually(lambda: len(bench.daemon.lanes) >= 21)  # lanes that still poll find theirs a moment later
        for _ in range(21):
            turns.release()
        await bench.ended(many, 20)
        await bench.ended(few, 1)
    assert served.index("few") <= 2


async def test_a_host_that_is_full_keeps_only_its_own_steps_waiting(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    gate = Gate()
    stage.plays("slow", gate)
    async with staged(mongo_uri, database, stage, limits=Limits(host_at_once=2)) as bench:
        slow = await bench.add(created(), actions=[{"type": "remote", "name": "slow", "host": "slow.example"}])
        quick = await bench.add(created("deal"), actions=[{"type": "remote", "host": "quick.example"}])
        await bench.leads.insert_many([{} for _ in range(6)])
        await bench.deals.insert_many([{} for _ in range(6)])
        await bench.ended(quick, 6)
        gate.opened.set()
        await bench.ended(slow, 6)
    assert gate.most == 2


async def test_no_more_steps_begin_a_second_than_the_limit_says(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    async with staged(mongo_uri, database, stage, limits=Limits(host_per_second=2)) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote", "host": "one.example"}])
        await bench.leads.insert_many([{} for _ in range(5)])
        runs = await bench.ended(workflow_id, 5)
    began = sorted(run["started_at"] for run in runs)
    assert began[4] - began[0] > timedelta(seconds=1.5)
    assert {run["actions_executed"][0]["attempts"] for run in runs} == {1}


async def test_steps_inside_mongodb_run_while_more_than_memory_holds_waits_for_a_slow_host(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    async with staged(mongo_uri, database, stage, grace_s=0) as bench:
        slow = await bench.add(created(), actions=[{"type": "remote"}])
        quick = await bench.add(created("deal"), actions=[{"type": "local", "delay": 0.001}])
        await bench.leads.insert_many([{} for _ in range(1_500)])
        await bench.taken_in()
    async with staged(mongo_uri, database, stage) as bench:  # it finds all of them by polling
        await gate.signal.until(lambda: gate.inside == 64)
        await bench.deals.insert_one({})
        await bench.ended(quick, 1)
        assert gate.inside == 64
        gate.opened.set()
        await bench.ended(slow, 1_500)
        assert len(set(stage.keys("remote"))) == 1_500


async def test_what_waits_for_a_slot_is_judged_on_the_entity_when_it_gets_one(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    still_open = [{"field": "status", "operator": "equals", "value": "open"}]
    async with staged(mongo_uri, database, stage, concurrency=1) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote", "conditions": still_open}])
        await bench.leads.insert_many([{"status": "open"}, {"_id": "later", "status": "open"}])
        await gate.signal.until(lambda: gate.inside == 1)
        await bench.leads.update_one({"_id": "later"}, {"$set": {"status": "closed"}})
        gate.opened.set()
        runs = await bench.ended(workflow_id, 2)
    assert [run["actions_executed"][0]["status"] for run in runs] == ["success", "skipped"]


async def test_what_waits_for_a_slot_does_not_start_once_its_workflow_is_paused(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    async with staged(mongo_uri, database, stage, concurrency=1) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
        await bench.leads.insert_many([{}, {}])
        await gate.signal.until(lambda: gate.inside == 1)
        await bench.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "paused"}})
        await bench.observed(workflow_id, state="paused", held=1)
        gate.opened.set()
        await bench.ended(workflow_id, 1)
        assert len(stage.calls) == 1
        await bench.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "active"}})
        await bench.ended(workflow_id, 2)


async def test_a_stop_gives_a_step_in_flight_its_grace(mongo_uri: str, database: Database, stage: Stage) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    async with staged(mongo_uri, database, stage, grace_s=10) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
        await bench.leads.insert_one({})
        await gate.signal.until(lambda: gate.inside == 1)
        asyncio.get_running_loop().call_later(0.3, gate.opened.set)
    run = await database.workflow_executions.find_one({"workflow_id": workflow_id}) or {}
    assert run["status"] == "completed"


async def test_a_stop_keeps_its_leases_and_starts_nothing_new_during_the_grace(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    leases = {"kind": "lease", "holder": {"$ne": None}}
    async with staged(mongo_uri, database, stage, grace_s=60, lease_s=3) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
        await bench.leads.insert_one({})
        await gate.signal.until(lambda: gate.inside == 1)
        epochs = await database.workflow_state.distinct("epoch", leases)

        async def open_late() -> int:
            await eventually(lambda: not bench.daemon.is_reading)
            await bench.leads.insert_one({})
            before = max(await database.workflow_state.distinct("expires_at", leases))
            renewed = {**leases, "expires_at": {"$gt": before}}
            await committed(database, lambda: all_renewed(database, renewed))
            gate.opened.set()
            return await database.workflow_state.count_documents(renewed)

        opening = asyncio.create_task(open_late())
    assert await opening == LEASES
    assert await database.workflow_state.distinct("epoch", {"kind": "lease"}) == epochs
    assert await database.workflow_state.count_documents(leases) == 0
    runs = await database.workflow_executions.find({"workflow_id": workflow_id}).to_list()
    assert [run["status"] for run in runs] == ["completed"]


async def all_renewed(database: Database, renewed: dict[str, Any]) -> bool:
    return await database.workflow_state.count_documents(renewed) == LEASES


async def test_a_stop_hands_back_what_outlives_the_grace(mongo_uri: str, database: Database, stage: Stage) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    async with staged(mongo_uri, database, stage, grace_s=0.1) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote"}])
        await bench.leads.insert_one({})
        await gate.signal.until(lambda: gate.inside == 1)
    run = await database.workflow_executions.find_one({"workflow_id": workflow_id}) or {}
    assert (run["status"], run["attempt"], run["refunds"], "due_at" in run) == ("waiting", 0, 1, True)


async def test_an_effect_that_must_not_be_repeated_ends_uncertain_when_a_stop_cuts_it_off(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    gate = Gate()
    stage.plays("remote", gate)
    async with staged(mongo_uri, database, stage, grace_s=0.1) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "remote", "at_most_once": True}])
        await bench.leads.insert_one({})
        await gate.signal.until(lambda: gate.inside == 1)
    run = await database.workflow_executions.find_one({"workflow_id": workflow_id}) or {}
    assert (run["status"], run["actions_executed"][0]["status"]) == ("failed", "uncertain")


async def test_a_stop_asks_an_action_how_far_its_effect_has_come(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    waiting = asyncio.Event()

    async def tell(context: Context) -> Outcome:
        if context.entity_id != "not begun":
            context.effect.begin()
        if context.entity_id == "known":
            context.effect.settle(Done({"sent": True}))
        if len(stage.calls) == 3:
            waiting.set()
        await asyncio.Event().wait()
        return Done({})

    stage.plays("remote", tell)
    async with staged(mongo_uri, database, stage, grace_s=0) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "telling", "at_most_once": True}])
        await bench.leads.insert_many([{"_id": "not begun"}, {"_id": "in doubt"}, {"_id": "known"}])
        await waiting.wait()
    runs = {run["triggered_by_entity_id"]: run async for run in database.workflow_executions.find()}
    assert {run["workflow_id"] for run in runs.values()} == {workflow_id}
    assert (runs["not begun"]["status"], runs["not begun"]["refunds"]) == ("waiting", 1)
    assert runs["in doubt"]["actions_executed"][0]["status"] == "uncertain"
    assert runs["known"]["status"] == "completed"
    assert runs["known"]["actions_executed"][0]["result"] == {"sent": True}


async def orphan(bench: Bench, workflow_id: Any, **changes: Any) -> ObjectId:
    """Leave an execution as a daemon leaves it that dies while the step is at work; return its id."""
    run = (await bench.runs(workflow_id))[0]
    state = {"status": "running", "attempt": 1, "epoch": 1, **changes}
    await bench.executions.update_one({"_id": run["_id"]}, {"$set": state, "$unset": {"due_at": ""}})
    execution_id = run["_id"]
    assert isinstance(execution_id, ObjectId)
    return execution_id


async def taken_over(
    uri: str, database: Database, stage: Stage, action: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """Return the ended execution of a step that was at work when its daemon died."""
    async with staged(uri, database, stage) as bench:
        workflow_id = await bench.add(created(), actions=[{**action, "delay": 3600}])
        await bench.leads.insert_one({})
        await orphan(bench, workflow_id, **changes)
    async with staged(uri, database, stage) as bench:
        return (await bench.ended(workflow_id, 1))[0]


async def test_a_step_whose_owner_died_runs_again_with_the_same_key(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    run = await taken_over(mongo_uri, database, stage, {"type": "remote"})
    assert (run["status"], run["actions_executed"][0]["attempts"]) == ("completed", 2)
    assert stage.keys("remote") == [f"{run['_id']}:0"]


async def test_a_crash_is_no_retry_so_it_is_made_up_for_where_nothing_is_retried(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    run = await taken_over(mongo_uri, database, stage, {"type": "remote", "retry": False})
    assert run["status"] == "completed"


async def test_a_step_that_must_not_be_repeated_ends_uncertain_when_its_owner_died(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    run = await taken_over(mongo_uri, database, stage, {"type": "remote", "at_most_once": True})
    assert (run["status"], run["actions_executed"][0]["status"]) == ("failed", "uncertain")
    assert stage.calls == []


async def test_a_step_fails_as_crashed_at_the_fifth_owner_that_dies(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    run = await taken_over(mongo_uri, database, stage, {"type": "remote"}, crashes=4, attempt=5)
    assert (run["status"], run["actions_executed"][0]["error"]) == ("failed", "crashed")
    assert stage.calls == []


async def test_attempts_that_failed_are_not_counted_as_crashes(
    mongo_uri: str, database: Database, stage: Stage
) -> None:
    retry = {"max_attempts": 20}
    run = await taken_over(mongo_uri, database, stage, {"type": "remote", "retry": retry}, attempt=9)
    assert (run["status"], run["actions_executed"][0]["attempts"]) == ("completed", 10)
