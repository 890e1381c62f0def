"""Schedules: what is due is swept once, whole, across crashes; what was missed is made up for or recorded."""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, OperationFailure

from config.preset import load_presets
from daemon.schedule.page import Pages
from daemon.schedule.sweep import Sweep, schedule_id
from daemon.stream import enroller
from daemon.stream.entrant import execution_document
from daemon.stream.intake import Intake
from rules.condition import Subject
from rules.conditions import Conditions
from rules.enrollment import Enrollment
from tests.support.bench import TASK, Bench, running_bench, workflow_document
from tests.support.daemon import QUICK

Database = AsyncDatabase[dict[str, Any]]
HOUR = timedelta(hours=1)


def cron(at: datetime) -> str:
    """Return the schedule that fires once a day, at the minute of ``at``."""
    return f"{at.minute} {at.hour} * * *"


def scheduled(ago: timedelta = HOUR / 2, **more: Any) -> dict[str, Any]:
    """Return a trigger whose last fire time was ``ago``."""
    return {"type": "scheduled", "entity_type": "lead", "schedule": cron(datetime.now(UTC) - ago), **more}


@pytest.fixture
async def by_tens(mongo_uri: str, database: Database) -> AsyncIterator[Bench]:
    """A daemon whose sweeps have ten entities in a page."""
    async with running_bench(mongo_uri, database, pace=replace(QUICK, sweep_page=10)) as running:
        yield running


async def begun(bench: Bench, workflow: Any) -> dict[str, Any]:
    """Return a workflow's schedule once its newest version has one."""

    async def look() -> object:
        version = await bench.database["workflow_versions"].find_one({"workflow_id": workflow, "latest": True})
        assert version is not None
        return await bench.state.find_one({"_id": schedule_id(workflow), "version": version["version"]})

    found = await bench.committed(look)
    assert isinstance(found, dict)
    return found


async def read_again(bench: Bench) -> None:
    """Let the reader open its stream again, and read the positions of schedules with it."""
    data = {"failCommands": ["getMore"], "errorCode": 43, "appName": "reflexd-test-reader"}
    await bench.database.client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=data)
    await bench.taken_in()


async def move_back(bench: Bench, workflow: Any, by: timedelta, **more: Any) -> None:
    """Let the schedule's position lie in the past, as after a downtime."""
    await bench.taken_in()
    schedule = await begun(bench, workflow)
    changed = {"position": schedule["position"] - by, **more}
    await bench.state.update_one({"_id": schedule["_id"]}, {"$set": changed})
    await read_again(bench)


async def summary(bench: Bench, workflow: Any, kind: str = "sweep") -> dict[str, Any]:
    """Return the newest decision on a sweep of the workflow."""

    async def look() -> object:
        found = bench.database["workflow_decisions"].find({"kind": kind, "workflow_id": workflow})
        return await found.sort("at", -1).limit(1).to_list()

    newest = await bench.committed(look)
    assert isinstance(newest, list)
    (document,) = newest
    assert isinstance(document, dict)
    return document


async def test_a_run_missed_in_downtime_fires_once_and_only_for_what_meets_the_conditions(bench: Bench) -> None:
    old = [{"field": "n", "operator": "greater_than", "value": 5}]
    workflow = await bench.add(scheduled(), conditions=old)
    await bench.leads.insert_many([{"_id": n, "n": n} for n in range(10)])
    await move_back(bench, workflow, 3 * 24 * HOUR)
    runs = await bench.ended(workflow, 4)
    assert [run["triggered_by_entity_id"] for run in runs] == [6, 7, 8, 9]
    assert {run["trigger"]["kind"] for run in runs} == {"scheduled"}
    found = await summary(bench, workflow)
    assert (found["matched"], found["enqueued"], found["refused"]) == (4, 4, {})
    assert found["at"] == runs[0]["triggered_at"]


async def test_a_new_schedule_does_not_fire_for_the_past(bench: Bench) -> None:
    workflow = await bench.add(scheduled())
    await bench.leads.insert_one({"_id": 1})
    await bench.taken_in()
    assert (await begun(bench, workflow))["position"] <= datetime.now(UTC)
    assert await bench.runs(workflow) == []


async def test_a_schedule_begins_when_it_was_installed_also_while_the_daemon_is_down(
    mongo_uri: str, database: Database
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        await bench.taken_in()
    document = workflow_document(scheduled())
    await database["workflows"].insert_one(document)
    installed_at = datetime.now(UTC)
    async with running_bench(mongo_uri, database) as bench:
        assert (await begun(bench, document["_id"]))["position"] <= installed_at


async def test_a_sweep_reaches_every_entity_whatever_its_id_is(bench: Bench) -> None:
    workflow = await bench.add(scheduled(), actions=[{**TASK, "delay": "1d"}])
    ids: list[Any] = list(range(700))
    ids += [f"lead-{n}" for n in range(400)] + [ObjectId() for _ in range(100)]
    ids += [{"tenant": n} for n in range(10)] + [Binary(bytes([n])) for n in range(10)]
    ids += [1.5, Decimal128("2.5"), True, None, datetime(2026, 1, 1, tzinfo=UTC), ""]
    await bench.leads.insert_many([{"_id": each} for each in ids])
    await move_back(bench, workflow, 2 * HOUR)
    assert (await summary(bench, workflow))["enqueued"] == len(ids)
    entered = await bench.executions.count_documents({"workflow_id": workflow})
    assert entered == len(ids)


async def test_a_sweep_that_is_interrupted_goes_on_where_it_was(
    by_tens: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await by_tens.add(scheduled(), actions=[{**TASK, "delay": "1d"}])
    await by_tens.leads.insert_many([{"_id": n if n % 2 else f"lead-{n}"} for n in range(100)])
    real, pages = Intake.take_entrants, 0

    async def take(self: Intake, *arguments: Any) -> None:
        nonlocal pages
        pages += 1
        if pages == 4:
            raise AutoReconnect("the network is down")
        await real(self, *arguments)

    monkeypatch.setattr(Intake, "take_entrants", take)
    await move_back(by_tens, workflow, 2 * HOUR)
    found = await summary(by_tens, workflow)
    assert (found["matched"], found["enqueued"]) == (100, 100)
    assert await by_tens.executions.count_documents({"workflow_id": workflow}) == 100
    assert pages == 12  # 3 whole pages, 1 failed, 7 more, 1 empty at the end


async def test_a_crash_in_mid_sweep_resumes_at_the_next_start(mongo_uri: str, database: Database) -> None:
    document = workflow_document(scheduled(), actions=[{**TASK, "delay": "1d"}])
    workflow = document["_id"]
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_one(document)
        await bench.leads.insert_many([{"_id": n} for n in range(30)])
        schedule = await begun(bench, workflow)
    fire_at = (datetime.now(UTC) - HOUR / 2).replace(second=0, microsecond=0)
    sweep = {"fire_at": fire_at, "after": [19], "matched": 20, "enqueued": 20, "refused": {}}
    await database["workflow_state"].update_one(
        {"_id": schedule["_id"]}, {"$set": {"position": fire_at - HOUR, "sweep": sweep}}
    )
    await database["workflows"].update_one({"_id": workflow}, {"$set": {"name": "Edited meanwhile"}})
    async with running_bench(mongo_uri, database) as bench:
        found = await summary(bench, workflow)
        assert (found["matched"], found["enqueued"]) == (30, 30)
        assert await bench.ran_for(workflow) == list(range(20, 30))
        assert {run["workflow_version"] for run in await bench.runs(workflow)} == {1}
        assert "sweep" not in (await bench.state.find_one({"_id": schedule["_id"]}) or {})


async def test_a_run_missed_longer_ago_than_the_grace_is_recorded(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database, schedule_grace_hours=0.25) as bench:
        workflow = await bench.add(scheduled())
        await bench.leads.insert_one({"_id": 1})
        await move_back(bench, workflow, 24 * HOUR)
        missed = await summary(bench, workflow, "missed")
        assert HOUR / 2 <= datetime.now(UTC) - missed["fire_at"] < HOUR
        assert await bench.runs(workflow) == []


async def test_a_sweep_that_the_database_refuses_harms_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = await bench.add(scheduled()), await bench.add(scheduled())
    await bench.leads.insert_one({"_id": 1})
    real = Sweep.run

    async def run(self: Sweep, workflow: Any, progress: Any, note: Any) -> None:
        if workflow.id == bad:
            raise OperationFailure("no", 2)
        await real(self, workflow, progress, note)

    monkeypatch.setattr(Sweep, "run", run)
    for workflow in (bad, good):
        await move_back(bench, workflow, 2 * HOUR)
    assert await bench.ended(good, 1)
    found = await summary(bench, bad)
    assert (found["enqueued"], found["left_out"]["reason"]) == (0, "failed")


def fails_for_one(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Let what is done for the entity 7 fail as no code expects it: judging, making a key, or storing."""
    judge, keys, made = Conditions.judge, Enrollment.keys, execution_document

    def failing_judge(self: Conditions, subject: Subject) -> Any:
        return judge(self, subject) if (subject.entity or {}).get("_id") != 7 else bson.encode({"": 2**64})

    def failing_keys(self: Enrollment, entity: Any) -> Any:
        return keys(self, entity) if not entity or entity["_id"] != 7 else bson.encode({"": 2**64})

    def odd_document(entrant: Any, *arguments: Any, **named: Any) -> Any:
        return {**made(entrant, *arguments, **named), "odd": 2**64 if entrant.entity_id == 7 else 0}

    match where:
        case "judging":
            monkeypatch.setattr(Conditions, "judge", failing_judge)
        case "key":
            monkeypatch.setattr(Enrollment, "keys", failing_keys)
        case _:
            monkeypatch.setattr(enroller, "execution_document", odd_document)


@pytest.mark.parametrize("where", ["judging", "key", "storing"])
async def test_a_sweep_records_the_entity_it_gives_up_and_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    by_judging = [{"none": [{"field": "n", "operator": "matches", "value": "x"}]}]
    workflow = await bench.add(scheduled(), enrollment={"once_per": "n"}, conditions=by_judging)
    await bench.leads.insert_many([{"_id": n, "n": str(n)} for n in range(10)])
    await bench.taken_in()
    fails_for_one(monkeypatch, where)
    await move_back(bench, workflow, 2 * HOUR)
    found = await summary(bench, workflow)
    assert (found["matched"], found["enqueued"], found["refused"]) == (10, 9, {"intake_error": 1})
    (decision,) = await bench.decisions(7)
    (entry,) = decision["entries"]
    assert (entry["reason"], entry["workflow_id"]) == ("intake_error", workflow)
    assert "Overflow" in entry["detail"]["error"]
    assert 7 not in await bench.ran_for(workflow)


async def swept_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Coroutine[Any, Any, Any]]
) -> dict[str, Any]:
    """Let a workflow of version 1 sweep 100 leads, ten in a page, and ``change`` it after the third page."""
    workflow = await bench.add(scheduled(), actions=[{**TASK, "delay": "1d"}])
    await bench.leads.insert_many([{"_id": n} for n in range(100)])
    real, pages = Pages.next, 0

    async def following(self: Pages) -> Any:
        nonlocal pages
        pages += 1
        if pages == 4:
            await change(workflow)
            await bench.taken_in()
        return await real(self)

    monkeypatch.setattr(Pages, "next", following)
    await move_back(bench, workflow, 2 * HOUR)
    return await summary(bench, workflow)


async def test_a_sweep_goes_on_with_the_version_that_began(by_tens: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def edit(workflow: Any) -> None:
        change = {"name": "Edited", "conditions": [{"field": "x", "operator": "exists"}]}
        await by_tens.workflows.update_one({"_id": workflow}, {"$set": change})

    found = await swept_while(by_tens, monkeypatch, edit)
    assert (found["enqueued"], found["workflow_version"], "left_out" in found) == (100, 1, False)
    runs = await by_tens.runs(found["workflow_id"])
    assert ({run["workflow_version"] for run in runs}, len(runs)) == ({1}, 100)
    assert (await begun(by_tens, found["workflow_id"]))["version"] == 2


@pytest.mark.parametrize("switch", ["paused", "stopped", "deleted", "stopped and active again"])
async def test_a_switch_in_the_midst_of_a_sweep_records_what_is_left_out(
    by_tens: Bench, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    async def apply(workflow: Any) -> None:
        if switch == "deleted":
            await by_tens.workflows.delete_one({"_id": workflow})
            return
        for status in switch.replace(" again", "").split(" and "):
            await by_tens.workflows.update_one({"_id": workflow}, {"$set": {"status": status}})

    found = await swept_while(by_tens, monkeypatch, apply)
    assert found["enqueued"] == 30
    assert found["left_out"] == {"reason": switch.split()[0], "after": [29], "entities": 70}


@pytest.mark.parametrize("broken", [{"position": "now"}, {"version": None}, {"sweep": 5}, {"sweep": {"after": 1}}])
async def test_a_schedule_document_edited_by_hand_harms_nobody(bench: Bench, broken: dict[str, Any]) -> None:
    bad, good = await bench.add(scheduled()), await bench.add(scheduled())
    await bench.leads.insert_one({"_id": 1})
    await bench.taken_in()
    await begun(bench, bad)
    await bench.state.update_one({"_id": schedule_id(bad)}, {"$set": broken})
    await move_back(bench, good, 2 * HOUR)
    assert await bench.ended(good, 1)


async def test_a_paused_schedule_does_not_fire_and_begins_again_on_activation(bench: Bench) -> None:
    workflow = await bench.add(scheduled())
    await bench.leads.insert_one({"_id": 1})
    await begun(bench, workflow)
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "paused"}})
    await bench.taken_in()
    await bench.state.update_one({"_id": schedule_id(workflow)}, {"$set": {"position": datetime.now(UTC) - 2 * HOUR}})
    await read_again(bench)
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "active"}})
    await bench.taken_in()
    await begun(bench, workflow)
    assert await bench.runs(workflow) == []


async def test_stale_deals_get_one_task_for_each_time_they_go_stale(mongo_uri: str, database: Database) -> None:
    preset = next(each for each in load_presets() if each.document["trigger"]["type"] == "scheduled")
    trigger = {**preset.document["trigger"]}
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=20)
    async with running_bench(mongo_uri, database) as bench:
        await bench.deals.insert_many(
            [
                {"_id": "stale", "status": "open", "last_activity_at": long_ago},
                {"_id": "fresh", "status": "open", "last_activity_at": now - timedelta(days=6)},
                {"_id": "won", "status": "won", "last_activity_at": long_ago},
                {"_id": "unknown", "status": "open"},
            ]
        )
        await bench.workflows.insert_one({**preset.document, "_id": preset.id})
        for turn, activity in enumerate((long_ago, long_ago, long_ago + timedelta(days=3)), start=1):
            await bench.deals.update_one({"_id": "stale"}, {"$set": {"last_activity_at": activity}})
            schedule = cron(now - turn * HOUR)
            await bench.workflows.update_one(
                {"_id": preset.id}, {"$set": {"trigger": {**trigger, "schedule": schedule}}}
            )
            await move_back(bench, preset.id, 6 * HOUR)

            async def is_swept(turn: int = turn) -> object:
                return await bench.database["workflow_decisions"].count_documents({"kind": "sweep"}) == turn

            await bench.committed(is_swept)
        runs = await bench.ended(preset.id, 2)
        assert {run["triggered_by_entity_id"] for run in runs} == {"stale"}
        tasks = await bench.database["tasks"].find({"workflow_id": preset.id}).to_list()
        assert [(task["title"], task["priority"]) for task in tasks] == [("Follow-up on stale deal", "high")] * 2
        refused = [each["refused"] async for each in bench.database["workflow_decisions"].find({"kind": "sweep"})]
        assert {"already_enrolled": 1} in refused
