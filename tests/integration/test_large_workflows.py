"""Workflows as large as they may be, many saved at once: nothing else waits for them to be read."""

import gc
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support.bench import Bench, created, updated, workflow_document
from tests.support.watchdog import watched_loop

STALL_S: Final = 0.1  # of the loop's own processor time
AT_ONCE: Final = 10


@pytest.fixture(autouse=True)
def calm_collector() -> Iterator[None]:
    """As in the daemon's process: what pytest holds is not looked through again and again."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def largest(number: int) -> dict[str, Any]:
    """Return a workflow of 1,000 conditions and about 200 KB, as long to read as any may be."""
    conditions = [
        {"field": f"field_{each}.name", "operator": "matches", "value": f"^{each}[a-z]+(one|two){{1,3}}.*$"}
        for each in range(1_000)
    ]
    name = {"name": f"Number {number}", "description": "x" * 100_000}
    return workflow_document(updated(f"field_{number}"), conditions=conditions, **name)


async def test_saving_many_of_the_largest_does_not_hold_up_the_event_loop(bench: Bench) -> None:
    documents = [largest(number) for number in range(AT_ONCE)]
    async with watched_loop() as watchdog:
        for document in documents:
            await bench.workflows.insert_one(document)
        for document in documents:
            await bench.workflows.update_one({"_id": document["_id"]}, {"$set": {"description": "y" * 100_000}})
        for document in documents:
            await bench.observed(document["_id"], state="active", version=2, error=None)
    assert watchdog.longest_s < STALL_S, watchdog.longest_s


async def test_judging_many_conditions_does_not_hold_up_the_event_loop(bench: Bench) -> None:
    conditions = [{"field": f"field_{each}", "operator": "not_equals", "value": 1} for each in range(1_000)]
    workflows = [await bench.add(created(), conditions=conditions) for _ in range(10)]
    await bench.taken_in()
    async with watched_loop() as watchdog:
        await bench.leads.insert_many([{"number": number} for number in range(100)])
        for workflow_id in workflows:
            await bench.ended(workflow_id, 100)
    assert watchdog.longest_s < STALL_S, watchdog.longest_s
