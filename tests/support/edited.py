"""Executions whose documents somebody edits by hand, and a daemon for all tests of a module that do so."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient

from daemon.mongo.codec import CODEC
from daemon.pace import Pace
from tests.support.bench import Bench, created, running_bench
from tests.support.stage import Stage

Client = AsyncMongoClient[dict[str, Any]]


@asynccontextmanager
async def bench_of_module(uri: str, client: Client, stage: Stage, pace: Pace) -> AsyncIterator[Bench]:
    """Yield a bench for all tests that look only at workflows of their own."""
    database = client.get_database(f"test_{uuid.uuid4().hex[:12]}", codec_options=CODEC)
    async with running_bench(uri, database, parse_action=stage.parse_action, pace=pace) as running:
        yield running
    await client.drop_database(database.name)


async def edited(bench: Bench, stage: Stage, change: dict[str, Any], *, may_run: bool = False) -> dict[str, Any]:
    """Return an execution as it ends that waited for an hour when somebody edited its document by hand.

    Fail if its step has run, unless it may.
    """
    name = str(ObjectId())
    workflow_id = await bench.add(created(), actions=[{"type": "local", "name": name, "delay": "1h"}])
    await bench.leads.insert_one({})
    run = (await bench.runs(workflow_id))[0]
    await bench.executions.update_one({"_id": run["_id"]}, change)
    ended = {"_id": run["_id"], "status": {"$in": ["completed", "failed", "cancelled"]}, "completed_at": {"$ne": None}}
    found = await bench.committed(lambda: bench.executions.find_one(ended)) or {}
    await bench.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "stopped"}})
    assert may_run or stage.keys(name) == []
    return found
