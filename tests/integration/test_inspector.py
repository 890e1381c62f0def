"""Executions that no poll of the queue can ever find, or that can never run: they are told so and ended."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from tests.support.bench import Bench, created
from tests.support.daemon import QUICK
from tests.support.edited import bench_of_module, edited
from tests.support.stage import Stage

PAST = datetime(2026, 1, 1, tzinfo=UTC)
HASTY = replace(QUICK, inspection_s=0.05, incomplete_s=0, inspected=2)


@pytest.fixture(scope="module")
async def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
async def hasty(mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]], stage: Stage) -> AsyncIterator[Bench]:
    """A daemon that gives people no time for their edits."""
    async with bench_of_module(mongo_uri, mongo_client, stage, HASTY) as running:
        yield running


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"due_at": PAST, "lane": 32}},
        {"$set": {"due_at": PAST, "lane": -1}},
        {"$set": {"due_at": PAST, "lane": "first"}},
        {"$set": {"due_at": PAST, "lane": 1.5}},
        {"$set": {"due_at": PAST, "lane": None}},
        {"$set": {"due_at": PAST}, "$unset": {"lane": ""}},
        {"$unset": {"due_at": ""}},
        {"$set": {"status": "pending"}, "$unset": {"due_at": ""}},
    ],
    ids=str,
)
async def test_what_no_poll_can_ever_find_ends_as_corrupt(hasty: Bench, stage: Stage, change: dict[str, Any]) -> None:
    run = await edited(hasty, stage, change)
    assert (run["status"], run["reason"]) == ("failed", "corrupt")
    assert "due_at" not in run


@pytest.mark.parametrize(
    "change",
    [{"status": "flying"}, {"attempt": -1}, {"step": 7}, {"step": -1}, {"status": "held"}],
    ids=str,
)
async def test_what_can_never_run_is_told_so_long_before_its_time(
    hasty: Bench, stage: Stage, change: dict[str, Any]
) -> None:
    run = await edited(hasty, stage, {"$set": change})
    assert (run["status"], run["reason"]) == ("failed", "corrupt")


async def test_all_that_waits_is_read_through_page_by_page(hasty: Bench) -> None:
    workflow_id = await hasty.add(created("deal"), actions=[{"type": "local", "delay": "1h"}])
    for _ in range(7):
        await hasty.deals.insert_one({})
    runs = await hasty.runs(workflow_id)
    await hasty.executions.update_one({"_id": runs[6]["_id"]}, {"$set": {"attempt": -1}})
    assert [run["_id"] for run in await hasty.ended(workflow_id, 1)] == [runs[6]["_id"]]
