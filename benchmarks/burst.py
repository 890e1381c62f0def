"""Executions a second, from the first insert to the last completion, while the CRM inserts as fast as it can."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.contender import Arena, Contender, Server, arena, child, prepared
from benchmarks.workload import NEW_VALUE, Workload

WARM_UP: Final = 400
_LOOK_S: Final = 0.02  # a look at 32 counters costs mongod about 0.3 ms: 1.5 % of a core
_WITHIN_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class BurstRun:
    """One burst: events and executions a second, processor microseconds for an execution, memory before and after."""

    events_per_s: float
    executions_per_s: float
    own_us: float
    mongod_us: float
    rss_before_mb: float
    rss_after_mb: float


async def burst(server: Server, contender: Contender, workload: Workload, leads: int) -> BurstRun:
    """Return the figures of one burst; raise RuntimeError unless every effect is there exactly once."""
    async with arena(server, contender, workload) as stage:
        await _warm_up(stage, workload)
        rss_before = stage.rss_mb()
        wanted = workload.matching(WARM_UP) + workload.matching(leads)
        async with writing(stage, leads, workload.one_in, None) as writer:
            own, mongod = stage.cpu_s(), server.cpu_s()
            await writer.give_word()
            await ended(stage, wanted)
            ended_at = time.monotonic()
            own, mongod = stage.cpu_s() - own, server.cpu_s() - mongod
            told = await writer.heard()
        await _check(stage, workload, WARM_UP + leads)
        took = ended_at - told["began"]
        executions = workload.matching(leads)
        return BurstRun(
            leads / took,
            executions / took,
            own / executions * 1e6,
            mongod / executions * 1e6,
            rss_before,
            stage.rss_mb(),
        )


async def unit_burst(server: Server, count: int) -> BurstRun:
    """Return the figures of the bound for update_field: transactions of 100 units, one after another."""
    async with prepared(server) as database, child(server, "unit_bound", database.name, count=count) as program:
        own, mongod = program.cpu_s(), server.cpu_s()
        await program.give_word()
        told = await program.heard()
        own, mongod = program.cpu_s() - own, server.cpu_s() - mongod
        rate = count / (told["ended"] - told["began"])
        return BurstRun(rate, rate, own / count * 1e6, mongod / count * 1e6, 0.0, program.rss_mb())


async def raw(server: Server, count: int) -> tuple[float, float]:
    """Return how many leads a second the database takes with all that follows from them, and how many it tells."""
    async with prepared(server) as database, child(server, "raw_bound", database.name, count=count) as program:
        await program.give_word()
        told = await program.heard()
        return count / told["wrote_s"], count / told["drained_s"]


def writing(stage: Arena, leads: int, one_in: int, rate: float | None) -> Any:
    """Return the CRM's writer, ready to insert."""
    return child(stage.server, "writer", stage.database.name, count=leads, one_in=one_in, rate=rate)


async def ended(stage: Arena, count: int) -> None:
    """Return once ``count`` executions have ended."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            if await stage.ended() >= count:
                return
            await asyncio.sleep(_LOOK_S)


async def _warm_up(stage: Arena, workload: Workload) -> None:
    async with writing(stage, WARM_UP, workload.one_in, None) as writer:
        await writer.give_word()
        await ended(stage, workload.matching(WARM_UP))
        await writer.heard()


async def _check(stage: Arena, workload: Workload, leads: int) -> None:
    """Hold the result to what was promised: a fast run that loses or doubles something is no run."""
    executions = workload.matching(leads)
    database = stage.database
    found = {
        "executions": await database["workflow_executions"].count_documents({"status": "completed"}),
        "decisions": await database["workflow_decisions"].count_documents({}),
    }
    wanted = {"executions": executions, "decisions": leads - executions}
    if workload.action == "update_field":
        found["updates"] = await database["leads"].count_documents({"stage": NEW_VALUE})
        wanted["updates"] = executions
    else:
        found["tasks"] = await database["tasks"].count_documents({})
        wanted["tasks"] = executions
    if found != wanted:
        raise RuntimeError(f"wrong result: expected {wanted}, found {found}")
