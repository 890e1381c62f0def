"""Whatever one document holds, its neighbour is run and no service ends: odd values, for every kind of workflow."""

import struct
from datetime import timedelta
from typing import Any

import bson
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase

from tests.integration.test_schedules import HOUR, move_back, scheduled, summary
from tests.support.bench import TASK, Bench, created, deleted, running_bench, updated, workflow_document
from tests.support.poll import eventually

Database = AsyncDatabase[dict[str, Any]]
GOOD = ["good", "better"]


def nested(kind: type[Any], levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if kind is dict else [value]
    return value


def element(kind: int, value: bytes) -> RawBSONDocument:
    """Return a document with one value ``x`` whose bytes no driver would write."""
    body = bytes([kind]) + b"x\0" + value
    return RawBSONDocument(struct.pack("<i", len(body) + 5) + body + b"\0")


ODD: list[Any] = [
    *(1.8e19, -1e300, 5e-324, float("nan"), float("inf"), float("-inf"), -0.0),
    *map(Decimal128, ("9.99E+6144", "1E-6176", "NaN", "sNaN", "-Infinity", "-0", "1" * 34)),
    *(Int64(2**63 - 1), Int64(-(2**63)), DatetimeMS(2**63 - 1), DatetimeMS(-(2**63)), DatetimeMS(-62135596800000)),
    *(MinKey(), MaxKey(), Timestamp(2**32 - 1, 2**32 - 1), ObjectId(b"\xff" * 12), None, True, "", "a\0b", "\x1b[2J"),
    *(Binary(b"", subtype) for subtype in (0, 1, 5, 8, 9, 128, 255)),
    *(Binary(b"1234", subtype) for subtype in (3, 4)),
    *(Regex("(", "i"), Regex("^(a+)+$"), Code("x"), Code("x", {"y": 1})),
    *(DBRef("leads", 1), {"$ref": 1, "$id": 2}, {"$gt": 1}, {"a.b": 1}, {"": 1}, {"$$NOW": 1}, {}, []),
    *(nested(dict, 100), nested(list, 100), list(range(10_000)), ["vip", 1.8e19], {"deep": {"amount": 1.8e19}}),
    *("a" * 1_000_000, {f"k{number}": number for number in range(5_000)}, "{{ entity }}", "$amount", "٣"),
]
RAW = [
    element(0x05, struct.pack("<i", 4) + b"\x02\xff\xff\xff\x7f"),  # binary of the old subtype, its inner length wrong
    element(0x02, struct.pack("<i", 4) + b"\xed\xa0\x80\0"),  # half of a surrogate pair
    element(0x06, b""),  # undefined
    element(0x0E, struct.pack("<i", 2) + b"s\0"),  # symbol
    element(0x0C, struct.pack("<i", 2) + b"d\0" + b"i" * 12),  # pointer
    RawBSONDocument(bson.encode({"$x": 1, "x.y": 2, "": 3, "x": 4})),
]


IDS: list[Any] = [1.8e19, float("nan"), Decimal128("1E-6176"), DatetimeMS(2**63 - 1), Int64(2**63 - 1), {"a": {}}, ""]


def odd_leads() -> list[Any]:
    leads: list[Any] = [{"_id": f"odd-{place}", "x": value} for place, value in enumerate(ODD)]
    leads += [{"_id": f"within-{place}", "x": {"y": [value]}} for place, value in enumerate(ODD[:60])]
    leads += [{"_id": value, "x": 1} for value in IDS]
    return leads + RAW


CONDITIONS: list[list[dict[str, Any]]] = [
    [],
    [{"field": "x", "operator": "not_equals", "value": 5}],
    [{"field": "x", "operator": "less_or_equal", "value": 5}],
    [{"field": "x.y", "operator": "not_contains", "value": "a"}],
    [{"field": "x", "operator": "not_in", "value": [7, "x"]}],
    [{"none": [{"field": "x", "operator": "matches", "value": "^b"}]}],
    [{"none": [{"field": "x", "operator": "starts_with", "value": "b"}]}],
]


def all_workflows(trigger: dict[str, Any]) -> list[dict[str, Any]]:
    """Return workflows of one kind: each condition, each enrollment, conditions of steps, values in texts."""
    step = {**TASK, "title": "{{ entity.x }}", "conditions": CONDITIONS[1]}
    rules: list[Any] = ["once", {"once_per": "x"}, {"once_per": "x.y"}, {"cooldown": "1d"}]
    more: list[dict[str, Any]] = [{"conditions": conditions} for conditions in CONDITIONS]
    more += [{"enrollment": rule} for rule in rules]
    return [workflow_document(trigger, actions=[step], **each) for each in more]


async def good_ones_ran(bench: Bench, workflow: Any, entities: list[Any]) -> None:
    async def look() -> object:
        wanted = {"workflow_id": workflow, "triggered_by_entity_id": {"$in": entities}, "status": "completed"}
        return await bench.executions.count_documents(wanted) == len(entities)

    await eventually(look)


async def test_no_value_of_a_document_harms_the_neighbours(bench: Bench) -> None:
    kinds: list[dict[str, Any]] = [created(), updated("n"), updated(), deleted()]
    workflows = [document for trigger in kinds for document in all_workflows(trigger)]
    await bench.workflows.insert_many(workflows)
    await bench.leads.insert_many([{"_id": "good", "x": 1}, *odd_leads(), {"_id": "better", "x": 2}])
    await bench.leads.update_many({}, {"$set": {"n": 1}})
    await bench.leads.delete_many({})
    for document in workflows:
        await good_ones_ran(bench, document["_id"], GOOD)


async def test_a_sweep_meets_every_value_and_reaches_its_end(bench: Bench) -> None:
    swept = all_workflows(scheduled())
    await bench.workflows.insert_many(swept)
    await bench.leads.insert_many([{"_id": "good", "x": 1}, *odd_leads(), {"_id": "better", "x": 2}])
    for document in swept:
        await move_back(bench, document["_id"], 2 * HOUR)
        await good_ones_ran(bench, document["_id"], GOOD)
        assert "left_out" not in await summary(bench, document["_id"])


async def test_the_search_for_lost_creations_meets_every_value(mongo_uri: str, database: Database) -> None:
    workflows = all_workflows(created())
    leads = [{**lead, "_id": ObjectId()} for lead in odd_leads() if not isinstance(lead, RawBSONDocument)]
    good = ObjectId()
    await database.leads.insert_many([*leads, {"_id": good, "x": 1}, *RAW])
    async with running_bench(mongo_uri, database) as bench:
        await bench.workflows.insert_many(workflows)
        await bench.taken_in()
    rescan = {"at": (await database.command("ping"))["operationTime"], "entity_type": None, "after": None}
    counts = {"found": 0, "enqueued": 0, "not_recoverable": 0, "is_done": False}
    gap = {"_id": "gap/1-1", "kind": "gap", "from": good.generation_time - timedelta(minutes=1)}
    await database.workflow_state.insert_one({**gap, "rescan": {**rescan, **counts}})
    async with running_bench(mongo_uri, database) as bench:
        for document in workflows:
            await good_ones_ran(bench, document["_id"], [good])
