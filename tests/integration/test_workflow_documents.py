"""Workflow documents in any shape: a bad one is told so and harms nobody, the last good version runs on."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from loguru import logger

from config.log import LogFormat, configure_logging
from tests.support.bench import TASK, Bench, created, workflow_document
from tests.support.poll import eventually

if TYPE_CHECKING:
    from loguru import Message

GOOD = {"name": "w", "trigger": created(), "actions": [TASK]}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"field": "a", "operator": "exists"}
    for _ in range(levels):
        value = {"all": [value]}
    return value


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({**GOOD, "name": 5}, "name"),
    ({**GOOD, "trigger": "entity_created"}, "trigger"),
    ({**GOOD, "trigger": {"type": "entity_made", "entity_type": "lead"}}, "trigger.type"),
    ({**GOOD, "trigger": {"type": "entity_created", "entity_type": "leed"}}, "trigger.entity_type"),
    ({**GOOD, "conditions": {"field": "a"}}, "conditions"),
    ({**GOOD, "conditions": [{"field": "a", "operator": "is", "value": 1}]}, "conditions[0].operator"),
    ({**GOOD, "conditions": [{"field": "a", "operator": "matches", "value": "("}]}, "conditions[0].value"),
    ({**GOOD, "conditions": [{"field": "a", "operator": "equals", "value": {"$gt": 1}}]}, "conditions[0].value"),
    ({**GOOD, "actions": []}, "actions"),
    ({**GOOD, "actions": [{"type": "create_tusk"}]}, "actions[0].type"),
    ({**GOOD, "actions": [{"type": "update_field", "field": "_id", "value": 1}]}, "actions[0]"),
    ({**GOOD, "actions": [{**TASK, "delay": -1}]}, "actions[0].delay"),
    ({**GOOD, "enrollment": "twice"}, "enrollment"),
    ({**GOOD, "Actions": [TASK]}, "Actions"),
    ({**GOOD, "$where": "1"}, "$where"),
    ({**GOOD, "name.first": 1}, "name.first"),
    ({**GOOD, "status": "on"}, "status"),
    ({**GOOD, "status": None}, "status"),
    ({**GOOD, "conditions": [{"field": f"f{n}", "operator": "exists"} for n in range(1_001)]}, ""),
    ({**GOOD, "conditions": [deep(60)]}, ""),
    ({**GOOD, "description": "x" * 300_000}, ""),
]


@pytest.mark.parametrize(("broken", "path"), BROKEN, ids=lambda value: repr(value)[:60])
async def test_a_broken_document_is_told_where_and_runs_for_nobody(
    shared: Bench, broken: dict[str, Any], path: str
) -> None:
    good = await shared.add(created())
    bad = ObjectId()
    await shared.workflows.insert_one({"_id": bad, **broken})
    lead = (await shared.leads.insert_one({})).inserted_id
    assert await shared.ran_for(good) == [lead]
    assert await shared.ran_for(bad) == []
    observed = await shared.observed(bad, state="invalid", version=1)
    assert observed["error"].startswith(path)
    assert len(observed["error"]) > len(path) + 5


async def test_the_last_good_version_runs_on_after_an_invalid_edit(bench: Bench) -> None:
    workflow = await bench.add(created(), conditions=[{"field": "n", "operator": "equals", "value": 1}])
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"conditions.0.operator": "equal", "name": "new"}})
    await bench.leads.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
    (run,) = await bench.runs(workflow)
    assert (run["triggered_by_entity_id"], run["workflow_name"]) == (1, "On the bench")
    observed = await bench.observed(workflow, state="active", version=2)
    assert observed["error"].startswith("conditions[0].operator")
    assert "'equals'" in observed["error"]


async def test_a_mended_document_is_in_force_again(bench: Bench) -> None:
    workflow = await bench.add(created(), actions=[])
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"actions": [TASK]}})
    await bench.leads.insert_one({"_id": 1})
    assert await bench.ran_for(workflow) == [1]
    await bench.observed(workflow, state="active", version=2, error=None)


async def test_a_valid_status_takes_effect_in_an_invalid_document(bench: Bench) -> None:
    workflow = await bench.add(created())
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"trigger.type": "?", "status": "paused"}})
    await bench.leads.insert_one({"_id": 1})
    await bench.workflows.update_one({"_id": workflow}, {"$set": {"status": "active"}})
    await bench.leads.insert_one({"_id": 2})
    assert await bench.ran_for(workflow) == [2]
    observed = await bench.observed(workflow, state="active", version=3)
    assert observed["error"].startswith("trigger.type")


async def test_an_invalid_status_leaves_the_switch_and_the_definition_as_they_were(bench: Bench) -> None:
    workflow = await bench.add(created(), status="paused")
    edit = {"$set": {"status": "actve", "trigger.entity_type": "deal"}}
    await bench.workflows.update_one({"_id": workflow}, edit)
    await bench.leads.insert_one({"_id": 1})
    await bench.deals.insert_one({"_id": 1})
    assert await bench.runs(workflow) == []
    assert [entry["reason"] for entry in await bench.refusals(workflow)] == ["paused"]
    observed = await bench.observed(workflow, state="paused")
    assert "'active'" in observed["error"]


async def test_a_missing_status_means_active(bench: Bench) -> None:
    workflow = await bench.add(created())
    await bench.leads.insert_one({"_id": 1})
    assert await bench.ran_for(workflow) == [1]


async def test_a_document_too_large_to_answer_in_harms_nobody(bench: Bench) -> None:
    huge = ObjectId()
    await bench.workflows.insert_one({**GOOD, "_id": huge, "description": "x" * (16 * 1024 * 1024 - 250)})
    good = await bench.add(created())
    await bench.leads.insert_one({"_id": 1})
    assert await bench.ran_for(good) == [1]
    await bench.observed(good, state="active")
    assert await bench.ran_for(huge) == []


async def test_executions_keep_the_version_they_began_with(bench: Bench) -> None:
    document = workflow_document(created(), actions=[{**TASK, "title": "old", "delay": 1}])
    await bench.workflows.insert_one(document)
    await bench.leads.insert_one({"_id": 1})
    await bench.workflows.update_one({"_id": document["_id"]}, {"$set": {"actions": [{**TASK, "title": "new"}]}})
    await bench.ended(document["_id"], 1)
    assert [task["title"] for task in await bench.database["tasks"].find().to_list()] == ["old"]


async def test_keys_of_a_crm_are_ignored_and_listed_and_their_edits_make_no_version(shared: Bench) -> None:
    theirs = {"__v": 0, "createdAt": 1, "_class": "crm.Workflow"}
    workflow_id = await shared.add(created(), **theirs)
    await shared.observed(workflow_id, state="active", version=1, error=None, ignored=list(theirs))
    await shared.workflows.update_one(
        {"_id": workflow_id}, {"$set": {"__v": 1, "owner": "Ana"}, "$unset": {"_class": ""}}
    )
    await shared.observed(workflow_id, state="active", version=1, error=None, ignored=["__v", "createdAt", "owner"])
    lead = (await shared.leads.insert_one({})).inserted_id
    assert await shared.ran_for(workflow_id) == [lead]
    versions = await shared.database["workflow_versions"].find({"workflow_id": workflow_id}).to_list()
    assert [sorted(each["definition"]) for each in versions] == [["actions", "name", "trigger"]]
    await shared.workflows.update_one({"_id": workflow_id}, {"$set": {"trigger.colour": "red"}})
    invalid = await shared.observed(workflow_id, version=2, ignored=["__v", "createdAt", "owner"])
    assert invalid["error"].startswith("trigger.colour: unknown key")


async def test_every_edit_and_every_execution_leaves_a_line_in_the_log(shared: Bench) -> None:
    configure_logging(LogFormat.JSON, "DEBUG", "test", io.StringIO())  # another test may have set a higher level
    said: list[tuple[str, Mapping[str, Any]]] = []

    def take(message: "Message") -> None:
        if "event" in message.record["extra"]:
            said.append((message.record["extra"]["event"], message.record["extra"]["fields"]))

    leads: list[Any] = []

    def about(workflow: Any) -> list[tuple[str, Mapping[str, Any]]]:
        return [(event, fields) for event, fields in said if fields.get("workflow_id") == workflow]

    sink = logger.add(take)
    try:
        workflow = await shared.add(created())

        async def is_told() -> bool:  # of other tests' executions as many lines as a second has may have been written
            leads.append((await shared.leads.insert_one({})).inserted_id)
            await shared.taken_in()
            return any(event == "execution.created" for event, _ in about(workflow))

        await eventually(is_told)
        await shared.workflows.update_one({"_id": workflow}, {"$set": {"actions": []}})
        await shared.workflows.update_one({"_id": workflow}, {"$set": {"status": "paused", "actions": [TASK]}})
        await shared.workflows.delete_one({"_id": workflow})
        await eventually(lambda: "workflow.deleted" in [event for event, _ in about(workflow)])
    finally:
        logger.remove(sink)
    assert [event for event, _ in about(workflow) if event.startswith("workflow.")] == [
        "workflow.accepted",
        "workflow.invalid",
        "workflow.accepted",
        "workflow.status_changed",
        "workflow.deleted",
    ]
    assert {fields["entity_id"] for event, fields in about(workflow) if event == "execution.created"} <= set(leads)
