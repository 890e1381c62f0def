"""A scheduled workflow over many deals, beside the same query and the same inserts without anything around them."""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks import record
from benchmarks.contender import Server, daemon, prepared
from benchmarks.program import Program
from benchmarks.record import LANES, Queued

_INSERTED: Final = 5_000  # deals at once
_PAGE: Final = 500
_LOOK_S: Final = 0.25
_WITHIN_S: Final = 1_800.0
_DELAY: Final = timedelta(hours=1)  # what is enqueued only waits: the sweep alone is measured
_OPEN: Final = {"status": "open"}


@dataclass(frozen=True, slots=True)
class SweepRun:
    """Deals a second of the daemon and of the bound, the daemon's memory, and how long its loop stood still."""

    deals: int
    swept_per_s: float
    bound_per_s: float
    rss_before_mb: float
    rss_most_mb: float
    wall_ms: float
    cpu_ms: float
    where: str


async def sweep(server: Server, deals: int) -> SweepRun:
    """Return how fast ``deals`` deals are enqueued; raise RuntimeError unless each is, exactly once."""
    async with prepared(server) as database:
        await _fill(database, deals)
        bound_per_s = await _bound(database, deals)
        async with daemon(
            server, database.name, server.directory / database.name, module="benchmarks.watched"
        ) as program:
            await asyncio.sleep(2)
            before_mb = most_mb = program.rss_mb()
            await _asked(program)
            await database["workflows"].insert_one(_workflow(datetime.now(UTC) + timedelta(minutes=1)))
            async with asyncio.timeout(_WITHIN_S):
                while '"schedule.sweep_done"' not in program.log.read_text(errors="replace"):
                    program.raise_if_ended()
                    most_mb = max(most_mb, program.rss_mb())
                    await asyncio.sleep(_LOOK_S)
            told = await _asked(program)
            found = await database["workflow_executions"].count_documents({"workflow_name": "Look at open deals"})
            if found != deals:
                raise RuntimeError(f"wrong result: expected {deals} executions, found {found}")
            rate = deals / _took_s(program)
            return SweepRun(
                deals, rate, bound_per_s, before_mb, most_mb, told["wall_ms"], told["cpu_ms"], told["where"]
            )


async def _asked(program: Program) -> dict[str, Any]:
    await program.give_word()
    return await program.heard()


def _took_s(program: Program) -> float:
    """Return the time between the two lines of the log that tell of a sweep's begin and end."""
    at: dict[str, datetime] = {}
    for line in program.log.read_text(errors="replace").splitlines():
        told = json.loads(line)
        if str(told.get("event.action", "")).startswith("schedule."):
            at[told["event.action"]] = datetime.fromisoformat(told["@timestamp"])
    return (at["schedule.sweep_done"] - at["schedule.fired"]).total_seconds()


async def _bound(database: AsyncDatabase[dict[str, Any]], deals: int) -> float:
    """Return the rate of the bare query and bulk inserts of what the sweep would make of it; leave nothing behind."""
    executions = database["workflow_executions"]
    now = datetime.now(UTC)
    began, seq = time.monotonic(), 0
    page: list[dict[str, Any]] = []
    async for deal in database["deals"].find(_OPEN).sort("_id", 1).batch_size(_PAGE):
        seq += 1
        entry = Queued(ObjectId(), deal["_id"], seq % LANES, now + _DELAY)
        page.append(record.execution(entry, seq, now, _DELAY))
        if len(page) == _PAGE or seq == deals:
            await executions.insert_many(page, ordered=False)
            page = []
    rate = deals / (time.monotonic() - began)
    await executions.delete_many({})
    return rate


async def _fill(database: AsyncDatabase[dict[str, Any]], deals: int) -> None:
    for first in range(0, deals, _INSERTED):
        page = [_deal(number) for number in range(first, min(first + _INSERTED, deals))]
        await database["deals"].insert_many(page, ordered=False)


def _deal(number: int) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "name": f"Deal {number}",
        "status": "open",
        "stage": "proposal",
        "value": number % 10_000,
        "notes": "Asked for an offer and wants to be called back in the afternoon. " * 4,
        "last_activity_at": datetime(2026, 1, 1, tzinfo=UTC),
    }


def _workflow(at: datetime) -> dict[str, Any]:
    return {
        "name": "Look at open deals",
        "trigger": {"type": "scheduled", "entity_type": "deal", "schedule": f"{at.minute} {at.hour} * * *"},
        "conditions": [{"field": "status", "operator": "equals", "value": "open"}],
        "actions": [{"type": "create_task", "delay": int(_DELAY.total_seconds())}],
        "status": "active",
    }
