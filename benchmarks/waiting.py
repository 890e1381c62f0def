"""What executions cost that wait: nothing while they do, and bounded memory when all of them come due at once."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.burst import ended, writing
from benchmarks.contender import Arena, Server, daemon, prepared
from benchmarks.figures import Spread, spread_of
from benchmarks.workload import WORKFLOW_ID, Workload, lead_documents, workflow_document
from tests.support.crowd import insert_crowd

_IDLE_S: Final = 10.0
_SETTLE_S: Final = 3.0
_DELAY_S: Final = 2
_TIMED: Final = 100
_PACE_S: Final = 0.05
_LOOK_S: Final = 0.25
_LEAD_LOOK_S: Final = 0.005
_WITHIN_S: Final = 1_800.0
_OTHER_ID: Final = ObjectId("bec000000000000000000004")


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A daemon beside ``waiting`` executions: start, memory, idleness, a burst, and how late delayed steps fire."""

    waiting: int
    start_s: float
    rss_mb: float
    daemon_percent: float
    mongod_percent: float
    executions_per_s: float
    late: Spread


@dataclass(frozen=True, slots=True)
class DueRun:
    """``due`` executions that come due in one second: rate and memory, and what others notice of it.

    ``taken_in`` is how long a lead's insert took to become an ended execution meanwhile, ``other_s`` when the last of
    100 executions of another workflow had ended, due in the same second and numbered after all others.
    """

    due: int
    executions_per_s: float
    took_s: float
    rss_before_mb: float
    rss_most_mb: float
    taken_in: Spread
    other_s: float


async def waiting(server: Server, count: int, leads: int) -> WaitingRun:
    """Return what a daemon does beside ``count`` waiting executions."""
    async with prepared(server) as database:
        await _install(server, database)
        await insert_crowd(database, _OTHER_ID, count, datetime.now(UTC) + timedelta(hours=5))
        async with daemon(server, database.name, server.directory / database.name) as program:
            # Its checkpoint then lies behind the crowd: a start would else read a million inserts in the oplog.
            await database["leads"].insert_many(lead_documents(1, 1))
            await ended(Arena(server, database, (program,)), 1)
        await database["leads"].insert_many(lead_documents(1, 1))
        began = time.monotonic()
        async with daemon(server, database.name, server.directory / database.name) as program:
            stage = Arena(server, database, (program,))
            await ended(stage, 2)
            start_s = time.monotonic() - began
            await asyncio.sleep(_SETTLE_S)
            rss_mb, own, mongod = stage.rss_mb(), stage.cpu_s(), server.cpu_s()
            await asyncio.sleep(_IDLE_S)
            own, mongod = stage.cpu_s() - own, server.cpu_s() - mongod
            async with writing(stage, leads, 1, None) as writer:
                await writer.give_word()
                await ended(stage, 2 + leads)
                took_s = time.monotonic() - (await writer.heard())["began"]
            late = await _late(stage, 2 + leads)
            idle = (own / _IDLE_S * 100, mongod / _IDLE_S * 100)
            return WaitingRun(count, start_s, rss_mb, *idle, leads / took_s, late)


async def due_at_once(server: Server, count: int) -> DueRun:
    """Return what happens when ``count`` executions come due in the same second; raise unless each ends once."""
    async with prepared(server) as database:
        await _install(server, database)
        async with daemon(server, database.name, server.directory / database.name) as program:
            stage = Arena(server, database, (program,))
            await database["leads"].insert_many(lead_documents(400, 1))
            await ended(stage, 400)
            before_mb = most_mb = stage.rss_mb()
            due_at = datetime.now(UTC) + timedelta(seconds=20 + count / 20_000)
            await insert_crowd(database, WORKFLOW_ID, count, due_at)
            await insert_crowd(database, _OTHER_ID, _TIMED, due_at, first_seq=count)
            await asyncio.sleep(max((due_at - datetime.now(UTC)).total_seconds(), 0))
            began, other_s = time.monotonic(), 0.0
            taken_in: list[float] = []
            async with asyncio.timeout(_WITHIN_S):
                while await stage.ended() < 400 + len(taken_in) + count + _TIMED:
                    taken_in.append(await _one_lead(database))
                    most_mb = max(most_mb, stage.rss_mb())
                    if not other_s and await _has_ended(database, {"workflow_id": _OTHER_ID}, _TIMED):
                        other_s = time.monotonic() - began
                    await asyncio.sleep(_LOOK_S)
            took_s = time.monotonic() - began
            return DueRun(count, count / took_s, took_s, before_mb, most_mb, spread_of(taken_in), other_s or took_s)


async def _install(server: Server, database: AsyncDatabase[dict[str, Any]]) -> None:
    """Put in one workflow that acts at once and one that waits, and have them accepted."""
    timed = {**workflow_document(Workload(delay_s=_DELAY_S)), "_id": _OTHER_ID, "name": "Later"}
    timed["conditions"] = [{"field": "source", "operator": "equals", "value": "timed"}]
    await database["workflows"].insert_many([workflow_document(Workload()), timed])
    async with daemon(server, database.name, server.directory / database.name):
        pass


async def _late(stage: Arena, ended_before: int) -> Spread:
    """Return how late delayed steps fire, in ms, at 20 a second."""
    for lead in lead_documents(_TIMED, 1):
        await stage.database["leads"].insert_one({**lead, "source": "timed"})
        await asyncio.sleep(_PACE_S)
    await ended(stage, ended_before + _TIMED)
    late: list[float] = []
    fields = {"triggered_at": 1, "actions_executed.executed_at": 1}
    async for each in stage.database["workflow_executions"].find(
        {"workflow_id": _OTHER_ID, "status": "completed"}, fields
    ):
        due_at = each["triggered_at"] + timedelta(seconds=_DELAY_S)
        late.append((each["actions_executed"][0]["executed_at"] - due_at).total_seconds() * 1e3)
    return spread_of(late)


async def _one_lead(database: AsyncDatabase[dict[str, Any]]) -> float:
    """Return the ms from a lead's insert until its execution has ended."""
    (lead,) = lead_documents(1, 1)
    await database["leads"].insert_one(lead)
    began = time.monotonic()
    async with asyncio.timeout(_WITHIN_S):
        while True:
            if await _has_ended(database, {"triggered_by_entity_id": lead["_id"]}, 1):
                return (time.monotonic() - began) * 1e3
            await asyncio.sleep(_LEAD_LOOK_S)


async def _has_ended(database: AsyncDatabase[dict[str, Any]], of: dict[str, Any], count: int) -> bool:
    return await database["workflow_executions"].count_documents({**of, "status": "completed"}) >= count
