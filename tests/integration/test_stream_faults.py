"""What the stream meets: events that are too large, changes that cannot be stored, structures that change."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from daemon.event import Event
from daemon.mongo.failure import MISSING_PRIVILEGE_CODE
from daemon.stream import checkpoint
from daemon.stream.entrant import execution_document
from rules import judgement
from rules import version as version_rules
from tests.support.bench import TASK, Bench, created, deleted, running_bench, updated
from tests.support.events import Events
from tests.support.poll import eventually

MB = 1024 * 1024


async def test_the_neighbours_of_an_event_over_16_mb_are_all_delivered(bench: Bench) -> None:
    on_created, on_name = await bench.add(created()), await bench.add(updated("name"))
    from_a = await bench.add({**updated(field="name"), "from": "a"})
    await bench.leads.insert_one({"_id": "big", "name": "x", "text": "a" * (9 * MB)})
    await bench.taken_in()
    await bench.leads.insert_one({"_id": 1, "name": "a"})
    await bench.leads.update_one({"_id": 1}, {"$set": {"name": "b"}})
    await bench.leads.replace_one({"_id": "big"}, {"name": "y", "text": "b" * (9 * MB)})
    await bench.leads.insert_one({"_id": 2, "name": "a"})
    await bench.leads.update_one({"_id": 2}, {"$set": {"name": "b"}})
    assert await bench.ran_for(on_created) == ["big", 1, 2]
    assert await bench.ran_for(from_a) == [1, 2]
    assert await bench.ran_for(on_name) == [1, 2]
    reasons = [entry["reason"] for each in await bench.decisions("big") for entry in each["entries"]]
    assert reasons == ["trigger_unknown", "trigger_unknown"]


async def test_an_update_over_16_mb_is_matched_on_the_paths_it_touched(bench: Bench) -> None:
    on_name, on_other = await bench.add(updated("name")), await bench.add(updated("other"))
    await bench.leads.insert_one({"_id": "big", "name": "x", "text": "a" * (12 * MB)})
    for name in ("y", "z"):
        await bench.leads.update_one({"_id": "big"}, {"$set": {"name": name}})
    runs = await bench.runs(on_name)
    assert [run["triggered_by_entity_id"] for run in runs] == ["big", "big"]
    assert {run["trigger"].get("judged_on", "event") for run in runs} == {"event"}
    assert await bench.runs(on_other) == []


async def test_a_deleted_entity_too_large_to_keep_runs_with_what_fits(bench: Bench) -> None:
    is_long = [{"field": "text", "operator": "starts_with", "value": "aaa"}]
    workflow = await bench.add(deleted(), conditions=is_long, actions=[TASK, TASK])
    await bench.leads.insert_many([{"_id": 1, "name": "A", "text": "aaa"}, {"_id": 2, "name": "B", "text": "aaa"}])
    await bench.leads.insert_one({"_id": "huge", "text": "a" * (16 * MB - 200), "name": "C", "notes": "b" * 20})
    for lead in (1, "huge", 2):
        await bench.leads.delete_one({"_id": lead})
    runs = await bench.ended(workflow, 3)
    assert [(run["triggered_by_entity_id"], run["status"]) for run in runs] == [
        (lead, "completed") for lead in (1, "huge", 2)
    ]
    assert [run.get("image") for run in runs] == [None, "cut", None]
    assert (runs[1]["image_left_out"], runs[1]["image_left_out_count"]) == (["text"], 1)
    assert runs[1]["entity"] == {"_id": "huge", "name": "C", "notes": "b" * 20}
    assert [step["status"] for step in runs[1]["actions_executed"]] == ["success"] * 2


async def test_a_defect_in_one_workflow_harms_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = await bench.add(created()), await bench.add(created())
    await bench.taken_in()

    def judge(workflow: Any, *others: Any, **named: Any) -> Any:
        if workflow.id == bad:
            raise ZeroDivisionError
        return judgement.judge(workflow, *others, **named)

    monkeypatch.setattr("daemon.stream.change_judge.judge", judge)
    await bench.leads.insert_one({"_id": 1})
    assert await bench.ran_for(good) == [1]
    (entry,) = await bench.refusals(bad)
    assert (entry["reason"], "ZeroDivisionError" in entry["detail"]["error"]) == ("intake_error", True)


async def test_what_cannot_be_stored_for_one_workflow_is_stored_for_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = [{**TASK, "delay": "1h"}]
    workflows = [await bench.add(created(), actions=later) for _ in range(3)]
    await bench.taken_in()

    def document(entrant: Any, *others: Any, **more: Any) -> Any:
        made = execution_document(entrant, *others, **more)
        return {**made, "poison": {1, 2}} if entrant.workflow.id == workflows[1] and entrant.entity_id == 2 else made

    monkeypatch.setattr("daemon.stream.enroller.execution_document", document)
    await bench.leads.insert_many([{"_id": lead} for lead in (1, 2, 3)])
    for workflow in (workflows[0], workflows[2]):
        assert await bench.ran_for(workflow) == [1, 2, 3]
    assert await bench.ran_for(workflows[1]) == [1, 3]
    (entry,) = await bench.refusals(workflows[1])
    assert entry["reason"] == "intake_error"


async def test_a_defect_while_planning_an_edit_is_recorded_and_passed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await bench.add(created())
    bad = ObjectId()

    def edited(head: Any, workflow_id: Any, *others: Any) -> Any:
        if workflow_id == bad:
            raise ZeroDivisionError
        return version_rules.edited(head, workflow_id, *others)

    monkeypatch.setattr("daemon.versions.workflow_index.edited", edited)
    await bench.leads.insert_one({"_id": 1})
    await bench.add(created(), _id=bad)
    await bench.leads.insert_one({"_id": 2})
    assert await bench.ran_for(good) == [1, 2]
    assert len(await bench.decisions(bad)) == 1


async def test_the_stream_goes_on_when_a_collection_is_dropped_and_made_again(bench: Bench) -> None:
    workflow = await bench.add(created())
    await bench.leads.insert_one({"_id": 1})
    await bench.leads.drop()
    await bench.leads.insert_one({"_id": 2})
    await bench.leads.rename("old_leads")
    await bench.leads.insert_one({"_id": 3})
    assert await bench.ran_for(workflow) == [1, 2, 3]


async def test_the_reader_begins_anew_when_the_database_was_dropped(bench: Bench) -> None:
    await bench.database.client.drop_database(bench.database.name)

    async def has_begun() -> object:
        return bench.daemon.is_reading and await bench.state.find_one({"_id": checkpoint.CHECKPOINT_ID})

    await eventually(has_begun)

    async def runs_again() -> object:
        workflow = await bench.add(created("deal"))
        await bench.deals.insert_one({})
        return await eventually(lambda: bench.executions.find_one({"workflow_id": workflow}), within_s=10)

    assert await eventually(runs_again)


async def test_a_stream_that_fails_again_and_again_is_opened_again_after_longer_and_longer_pauses(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]], events: Events
) -> None:
    async with running_bench(mongo_uri, database) as bench:
        workflow = await bench.add(created())
        await bench.taken_in()
        await database.client.admin.command(
            "configureFailPoint",
            "failCommand",
            mode={"times": 5},
            data={"failCommands": ["getMore", "aggregate"], "errorCode": 6, "appName": "reflexd-test-reader"},
        )
        await bench.leads.insert_many([{"_id": lead} for lead in range(20)])
        assert await bench.ran_for(workflow) == list(range(20))
    # One a second is told of at the most.
    tries = [(fields["attempt"], fields["delay_s"]) for fields in events.of(Event.READER_REOPENED)]
    assert max(attempt for attempt, _ in tries) >= 2
    assert all(0.05 * 2 ** (n - 1) <= pause <= 0.1 * 2 ** (n - 1) for n, pause in tries), tries


async def test_a_collection_that_may_not_be_written_holds_up_no_other_entity(bench: Bench) -> None:
    forbidden = await bench.add(created(), actions=[{"type": "send_notification", "message": "hi"}])
    other = await bench.add(created("deal"))
    admin = bench.database.client.admin
    namespace = f"{bench.database.name}.notifications"
    data = {"failCommands": ["insert"], "errorCode": MISSING_PRIVILEGE_CODE, "namespace": namespace}
    await admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    try:
        await bench.leads.insert_many([{"_id": lead} for lead in range(3)])
        await bench.deals.insert_many([{"_id": deal} for deal in range(3)])
        await bench.ended(other, 3)
    finally:
        await admin.command("configureFailPoint", "failCommand", mode="off")
    assert [run["status"] for run in await bench.ended(forbidden, 3)] == ["completed"] * 3
    assert await bench.database["notifications"].count_documents({}) == 3
