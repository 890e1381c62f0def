"""Promises 1, 2 and 10 of the process as shipped: kill it anywhere, start it anywhere."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from tests.support.invariants import violations
from tests.support.load import Load, prepared_load
from tests.support.poll import eventually
from tests.support.replica import Replica, first_start, replicas_ended

Database = AsyncDatabase[dict[str, Any]]
ROUNDS: Final = 5
SEED: Final = 20260301


async def leases_of(database: Database) -> list[dict[str, Any]]:
    return await database.workflow_state.find({"kind": "lease"}).to_list()


async def keep_writing(load: Load, stop: asyncio.Event) -> None:
    """Write a lead every few milliseconds until told to stop."""
    while not stop.is_set():
        await load.write(1)
        try:
            async with asyncio.timeout(0.05):
                await stop.wait()
        except TimeoutError:
            pass


async def test_kills_at_any_moment_lose_nothing_and_double_nothing(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    dice = random.Random(SEED)
    replica = Replica(mongo_uri, database.name, tmp_path, "killed", lease_s=1)
    stop = asyncio.Event()
    async with replicas_ended(replica):
        await first_start(replica, database)
        writing = asyncio.create_task(keep_writing(load, stop))
        for _ in range(ROUNDS):
            fatal_at = time.monotonic() + dice.uniform(0, 0.7)
            await eventually(lambda until=fatal_at: time.monotonic() >= until, every_s=0.002)  # type: ignore[misc]
            replica.kill()
            await replica.start("--no-init")
        stop.set()
        await writing
        await load.done()
    assert len(load.leads) > 30
    assert await violations(database, load.since, load.expected()) == []


async def test_a_restarted_daemon_works_again_when_the_lease_of_the_dead_has_run_out(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    first = Replica(mongo_uri, database.name, tmp_path, "first", lease_s=3)
    second = Replica(mongo_uri, database.name, tmp_path, "second", lease_s=3)
    async with replicas_ended(first, second):
        await first_start(first, database)
        await load.write(1)
        await load.done()
        first.kill()
        left = {lease["name"]: lease["epoch"] for lease in await leases_of(database)}
        await second.start()
        await load.write(1)
        await load.done()
        taken = {lease["name"]: (lease["holder"], lease["epoch"]) for lease in await leases_of(database)}
    assert taken == {name: ("second", epoch + 1) for name, epoch in left.items()}
