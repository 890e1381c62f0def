"""Which changes start which workflows, in every way in which a CRM, Compass or a shell writes them."""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from pymongo import UpdateOne

from tests.support.bench import Bench, created, deleted, updated

LEAD: dict[str, Any] = {
    "name": "Ada",
    "status": "new",
    "address": {"city": "Oslo", "zip": {"code": "0150"}},
    "tags": ["a", "b", "c"],
    "items": [{"price": 1}, {"price": 2}],
}


async def lead(bench: Bench, **fields: Any) -> Any:
    """Insert a lead; return its id."""
    result = await bench.leads.insert_one({**LEAD, **fields})
    return result.inserted_id


async def test_a_created_entity_starts_a_workflow_once_and_an_update_does_not(bench: Bench) -> None:
    workflow = await bench.add(created())
    lead_id = await lead(bench)
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"status": "open"}})
    assert await bench.ran_for(workflow) == [lead_id]


async def test_an_insert_never_fires_field_updated(bench: Bench) -> None:
    workflow = await bench.add(updated("status"))
    await lead(bench)
    assert await bench.ran_for(workflow) == []


async def test_an_execution_says_what_started_it(bench: Bench) -> None:
    workflow = await bench.add(updated("status"))
    lead_id = await lead(bench)
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"status": "open", "owner": "x"}})
    (run,) = await bench.ended(workflow, 1)
    assert run["triggered_by_entity_type"] == "lead"
    assert run["triggered_by_entity_id"] == lead_id
    assert run["trigger"]["type"] == "field_updated"
    assert run["trigger"]["fields"] == ["owner", "status"]
    assert run["status"] == "completed"
    assert [step["status"] for step in run["actions_executed"]] == ["success"]
    assert run["triggered_at"] <= run["started_at"] <= run["completed_at"]


@pytest.mark.parametrize(
    ("field", "update"),
    [
        ("status", {"$set": {"status": "open"}}),
        ("address", {"$set": {"address.city": "Bergen"}}),
        ("address.city", {"$set": {"address.city": "Bergen"}}),
        ("address.city", {"$set": {"address": {"city": "Bergen"}}}),
        ("address.zip.code", {"$unset": {"address.zip": ""}}),
        ("address.zip.code", {"$unset": {"address": ""}}),
        ("address", {"$unset": {"address.zip.code": ""}}),
        ("address.street", {"$set": {"address.street": "Main"}}),
        ("status", {"$unset": {"status": ""}}),
        ("status", {"$rename": {"status": "state"}}),
        ("state", {"$rename": {"status": "state"}}),
        ("status", [{"$set": {"status": {"$concat": ["$name", "!"]}}}]),
        ("tags", {"$push": {"tags": "d"}}),
        ("tags.3", {"$push": {"tags": "d"}}),
        ("tags", {"$pull": {"tags": "b"}}),
        ("tags.1", {"$pull": {"tags": "b"}}),
        ("tags", {"$pop": {"tags": 1}}),
        ("tags", {"$push": {"tags": {"$each": ["z"], "$position": 0}}}),
        ("tags", {"$push": {"tags": {"$each": [], "$slice": 1}}}),
        ("tags.0", {"$set": {"tags.0": "z"}}),
        ("tags", {"$set": {"tags.0": "z"}}),
        ("items.price", {"$inc": {"items.1.price": 5}}),
        ("items.1.price", {"$inc": {"items.$[].price": 5}}),
        ("items", {"$unset": {"items.0.price": ""}}),
        ("score", {"$inc": {"score": 1}}),
        ("at", {"$currentDate": {"at": True}}),
    ],
)
async def test_a_change_of_the_field_fires(shared: Bench, field: str, update: Any) -> None:
    workflow = await shared.add(updated(field))
    lead_id = await lead(shared)
    await shared.leads.update_one({"_id": lead_id}, update)
    assert await shared.ran_for(workflow) == [lead_id]


@pytest.mark.parametrize(
    ("field", "update"),
    [
        ("status", {"$set": {"name": "Bo"}}),
        ("status", {"$set": {"statuses": 1}}),
        ("status", {"$set": {"status": "new"}}),
        ("address.city", {"$set": {"address.street": "Main"}}),
        ("address.city", {"$set": {"address": {"city": "Oslo", "street": "Main"}}}),
        ("address.zip", {"$unset": {"address.city": ""}}),
        ("status", {"$unset": {"nothing": ""}}),
        ("tags.0", {"$push": {"tags": "d"}}),
        ("tags.0", {"$set": {"tags.2": "z"}}),
        ("tags", {"$addToSet": {"tags": "a"}}),
        ("items.0.price", {"$inc": {"items.1.price": 5}}),
        ("score", {"$inc": {"score2": 1}}),
        ("status", [{"$set": {"status": "new", "seen": True}}]),
    ],
)
async def test_a_change_of_something_else_does_not_fire(shared: Bench, field: str, update: Any) -> None:
    workflow = await shared.add(updated(field))
    lead_id = await lead(shared)
    await shared.leads.update_one({"_id": lead_id}, update)
    assert await shared.runs(workflow) == []


async def test_field_updated_without_a_field_means_any_field(bench: Bench) -> None:
    workflow = await bench.add(updated())
    lead_id = await lead(bench)
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"status": "new"}})
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"whatever": 1}})
    assert len(await bench.runs(workflow)) == 1


async def test_one_of_several_fields_is_enough_and_fires_once(bench: Bench) -> None:
    workflow = await bench.add(updated("status", "owner"))
    lead_id = await lead(bench)
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"status": "open", "owner": "Bo"}})
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"owner": "Cy"}})
    assert len(await bench.runs(workflow)) == 2


async def test_from_and_to_are_both_asked(bench: Bench) -> None:
    workflow = await bench.add({**updated(field="status"), "from": "new", "to": "won"})
    lead_id = await lead(bench)
    for status in ("open", "won", "new", "won"):
        await bench.leads.update_one({"_id": lead_id}, {"$set": {"status": status}})
    assert len(await bench.runs(workflow)) == 1
    reasons = [entry["reason"] for entry in await bench.refusals(workflow)]
    assert reasons == ["transition_not_met"] * 3


async def test_from_null_means_that_the_field_was_missing(bench: Bench) -> None:
    workflow = await bench.add({**updated(field="owner"), "from": None})
    lead_id = await lead(bench)
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"owner": "Bo"}})
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"owner": "Cy"}})
    assert len(await bench.runs(workflow)) == 1


async def test_a_replace_as_compass_makes_it_fires_for_what_it_changed(bench: Bench) -> None:
    on_status, on_name = await bench.add(updated("status")), await bench.add(updated("name"))
    lead_id = await lead(bench)
    await bench.leads.find_one_and_replace({"_id": lead_id}, {**LEAD, "status": "open"})
    assert await bench.ran_for(on_status) == [lead_id]
    assert await bench.ran_for(on_name) == []


async def test_a_replace_that_sets_the_same_values_fires_nothing(bench: Bench) -> None:
    on_status, on_any = await bench.add(updated("status")), await bench.add(updated())
    lead_id = await lead(bench)
    await bench.leads.find_one_and_replace({"_id": lead_id}, dict(LEAD))
    await bench.leads.find_one_and_replace({"_id": lead_id}, dict(reversed(LEAD.items())))
    assert await bench.runs(on_status) == []
    assert await bench.runs(on_any) == []


async def test_an_upsert_that_inserts_is_a_creation(bench: Bench) -> None:
    on_created, on_updated = await bench.add(created()), await bench.add(updated())
    for _ in range(2):
        await bench.leads.update_one({"_id": "upserted"}, {"$set": {"status": "x"}}, upsert=True)
    await bench.leads.replace_one({"_id": "replaced"}, {"status": "x"}, upsert=True)
    assert await bench.ran_for(on_created) == ["upserted", "replaced"]
    assert await bench.runs(on_updated) == []


async def test_every_change_of_a_crm_transaction_counts_once(bench: Bench) -> None:
    on_created, on_status = await bench.add(created()), await bench.add(updated("status"))

    async def write(session: Any) -> Any:
        await bench.leads.insert_one({"_id": 1, **LEAD}, session=session)
        await bench.leads.update_one({"_id": 1}, {"$set": {"status": "open"}}, session=session)
        await bench.leads.update_one({"_id": 1}, {"$set": {"status": "won"}}, session=session)
        await bench.leads.update_one({"_id": 1}, {"$set": {"name": "Bo"}}, session=session)
        await bench.leads.insert_one({"_id": 2, **LEAD}, session=session)

    async with bench.database.client.start_session() as session:
        await session.with_transaction(write)
    assert await bench.ran_for(on_created) == [1, 2]
    assert await bench.ran_for(on_status) == [1, 1]


async def test_an_aborted_crm_transaction_starts_nothing(bench: Bench) -> None:
    workflow = await bench.add(created())
    async with bench.database.client.start_session() as session:
        await session.start_transaction()
        await bench.leads.insert_one(dict(LEAD), session=session)
        await session.abort_transaction()
    assert await bench.runs(workflow) == []


async def test_a_deleted_entity_leaves_its_last_image_with_the_execution(bench: Bench) -> None:
    workflow = await bench.add(deleted(), conditions=[{"field": "status", "operator": "equals", "value": "won"}])
    won, other = await lead(bench, status="won"), await lead(bench)
    await bench.leads.delete_one({"_id": won})
    await bench.leads.delete_one({"_id": other})
    (run,) = await bench.ended(workflow, 1)
    assert run["triggered_by_entity_id"] == won
    assert run["entity"] == {**LEAD, "_id": won, "status": "won"}
    assert run["status"] == "completed"
    assert run["actions_executed"][0]["status"] == "success"


@pytest.mark.parametrize(
    "entity_id",
    [
        "lead-1",
        7,
        Int64(2**40),
        1.5,
        Decimal128("1.5"),
        {"tenant": 1, "no": "b"},
        Binary(b"\x00\x01"),
        Binary.from_uuid(uuid.UUID(int=5)),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        True,
        None,
        "",
    ],
    ids=repr,
)
async def test_entities_may_have_an_id_of_any_type(shared: Bench, entity_id: Any) -> None:
    on_created = await shared.add(created(), enrollment="once")
    on_status = await shared.add(updated("status"))
    on_deleted = await shared.add(deleted())
    await shared.leads.insert_one({"_id": entity_id, "status": "new"})
    await shared.leads.update_one({"_id": entity_id}, {"$set": {"status": "open"}})
    await shared.leads.delete_one({"_id": entity_id})
    for workflow in (on_created, on_status, on_deleted):
        (run,) = await shared.ended(workflow, 1)
        assert bson.encode({"": run["triggered_by_entity_id"]}) == bson.encode({"": entity_id})


async def test_values_that_python_cannot_hold_break_nothing(shared: Bench) -> None:
    workflow = await shared.add(created())
    odd: list[Mapping[str, Any]] = [
        {"_id": 1, "at": datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC), "n": float("nan")},
        {"_id": 2, "": 1, "a.b": {"$c": 2}, "$d": 3},
        {"_id": 3, "ref": {"$ref": "x", "$id": ObjectId()}},
        {"_id": 4, "deep": {"a": [[[{"b": [None]}]]]}},
    ]
    await shared.leads.insert_many([dict(document) for document in odd])
    await shared.database.command(
        {"update": "leads", "updates": [{"q": {"_id": 1}, "u": [{"$set": {"at": {"$toDate": 2**60}}}]}]}
    )
    assert await shared.ran_for(workflow) == [1, 2, 3, 4]


async def test_changes_start_in_commit_order(bench: Bench) -> None:
    workflow = await bench.add(updated("n"))
    lead_id = await lead(bench)
    await bench.leads.bulk_write([UpdateOne({"_id": lead_id}, {"$set": {"n": n}}) for n in range(50)])
    runs = await bench.ended(workflow, 50)
    started = [run["started_at"] for run in runs]
    assert started == sorted(started)
    assert [run["seq"] for run in runs] == sorted(run["seq"] for run in runs)


async def images_off(bench: Bench) -> None:
    await bench.database.command("collMod", "leads", changeStreamPreAndPostImages={"enabled": False})


async def test_without_images_a_named_field_is_enough_and_the_rest_is_judged_on_now(bench: Bench) -> None:
    await images_off(bench)
    won = [{"field": "status", "operator": "equals", "value": "won"}]
    workflow = await bench.add(updated("status"), conditions=won)
    lead_id = await lead(bench)
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"status": "won"}})
    (run,) = await bench.runs(workflow)
    assert run["trigger"]["judged_on"] == "current"


async def test_without_images_from_is_unknown_and_said_so(bench: Bench) -> None:
    await images_off(bench)
    workflow = await bench.add({**updated(field="status"), "from": "new"})
    lead_id = await lead(bench)
    await bench.leads.update_one({"_id": lead_id}, {"$set": {"status": "won"}})
    (decision,) = await bench.decisions(lead_id)
    assert decision["judged_on"] == "current"
    (entry,) = decision["entries"]
    assert entry["reason"] == "trigger_unknown"
    assert entry["workflow_id"] == workflow
    assert entry["conditions"][0]["verdict"] == "unknown"


async def test_without_images_a_replace_is_unknown(bench: Bench) -> None:
    await images_off(bench)
    workflow = await bench.add(updated("status"))
    lead_id = await lead(bench)
    await bench.leads.replace_one({"_id": lead_id}, {**LEAD, "status": "won"})
    assert [entry["reason"] for entry in await bench.refusals(workflow)] == ["trigger_unknown"]


async def test_without_images_a_deletion_has_unknown_conditions(bench: Bench) -> None:
    await images_off(bench)
    asking = await bench.add(deleted(), conditions=[{"field": "status", "operator": "equals", "value": "new"}])
    not_asking = await bench.add(deleted())
    lead_id = await lead(bench)
    await bench.leads.delete_one({"_id": lead_id})
    assert [entry["reason"] for entry in await bench.refusals(asking)] == ["condition_unknown"]
    assert await bench.ran_for(not_asking) == [lead_id]
