"""Workflows as large as they may be, many saved at once: nothing else waits for them to be read."""

from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne

from tests.support.bench import Bench, created, updated, workflow_document
from tests.support.watchdog import least_stall

STALL_S: Final = 0.1  # of the loop's own processor time
AT_ONCE: Final = 10
DECODING_S: Final = 0.05


def largest(number: int) -> dict[str, Any]:
    """Return a workflow of 1,000 conditions and about 200 KB, as long to read as any may be."""
    conditions = [
        {"field": f"field_{each}.name", "operator": "matches", "value": f"^{each}[a-z]+(one|two){{1,3}}.*$"}
        for each in range(1_000)
    ]
    name = {"name": f"Number {number}", "description": "x" * 100_000}
    return workflow_document(updated(f"field_{number}"), conditions=conditions, **name)


async def test_saving_many_of_the_largest_does_not_hold_up_the_event_loop(bench: Bench) -> None:
    async def save() -> None:
        documents = [largest(number) for number in range(AT_ONCE)]
        for document in documents:
            await bench.workflows.insert_one(document)
        for document in documents:
            await bench.workflows.update_one({"_id": document["_id"]}, {"$set": {"description": "y" * 100_000}})
        for document in documents:
            await bench.observed(document["_id"], state="active", version=2, error=None)

    assert await least_stall(save, STALL_S) < STALL_S


async def test_those_of_megabytes_are_answered_without_holding_up_the_event_loop(bench: Bench) -> None:
    entries = [{"number": number} for number in range(350_000)]

    async def answered(error: str, **more: Any) -> None:
        document = workflow_document(created(), **more)
        # As bytes: what the test itself encodes and decodes in this thread is measured, too.
        await bench.workflows.insert_one(RawBSONDocument(bson.encode(document)))
        await bench.workflows.update_one({"_id": document["_id"]}, {"$set": {"name": "Edited"}})

        async def look() -> bool:
            found = await bench.workflows.find_one({"_id": document["_id"]}, {"observed": 1}) or {}
            observed = found.get("observed", {})
            return observed.get("version") == 2 and (observed["error"] or "").startswith(error)

        await bench.committed(look)

    async def save() -> None:
        await answered("expected at most 262,144 bytes (256 KB) of BSON, found", conditions=entries)
        await answered("", junk=entries)

    assert await least_stall(save, DECODING_S) < DECODING_S


async def test_one_that_is_saved_to_and_fro_does_not_hold_up_the_event_loop(bench: Bench) -> None:
    texts = [text * 100_000 for text in "yx" * 6]  # "x": what is in force when they are read

    async def save() -> None:
        document = largest(0)
        await bench.workflows.insert_one(document)
        await bench.observed(document["_id"], state="active", version=1)
        edits = [UpdateOne({"_id": document["_id"]}, {"$set": {"description": text}}) for text in texts]
        await bench.workflows.bulk_write(edits)
        await bench.observed(document["_id"], state="active", version=13, error=None)

    assert await least_stall(save, STALL_S) < STALL_S


async def test_judging_many_conditions_does_not_hold_up_the_event_loop(bench: Bench) -> None:
    conditions = [{"field": f"field_{each}", "operator": "not_equals", "value": 1} for each in range(1_000)]
    workflows = [await bench.add(created(), conditions=conditions) for _ in range(10)]
    await bench.taken_in()
    leads = 0

    async def insert() -> None:
        nonlocal leads
        leads += 100
        await bench.leads.insert_many([{"number": number} for number in range(100)])
        for workflow_id in workflows:
            await bench.ended(workflow_id, leads)

    assert await least_stall(insert, STALL_S) < STALL_S
