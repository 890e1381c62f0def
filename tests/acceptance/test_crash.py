"""Promises 1, 2 and 10 of the process as shipped: kill it anywhere, start it anywhere."""

import asyncio
import random
from pathlib import Path
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from tests.support.invariants import violations
from tests.support.load import Load, prepared_load
from tests.support.replica import Replica, first_start, replicas_ended

Database = AsyncDatabase[dict[str, Any]]
ROUNDS: Final = 5
LEADS: Final = 40  # a round
SEED: Final = 20260301


async def leases_of(database: Database) -> list[dict[str, Any]]:
    return await database.workflow_state.find({"kind": "lease"}).to_list()


async def keep_writing(load: Load) -> None:
    """Write a lead every few milliseconds for about a second: before a kill, and while nobody runs."""
    for _ in range(LEADS):
        await load.write(1)
        await asyncio.sleep(0.02)


async def test_kills_at_any_moment_lose_nothing_and_double_nothing(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    dice = random.Random(SEED)
    replica = Replica(mongo_uri, database.name, tmp_path, "killed", lease_s=1)
    async with replicas_ended(replica):
        await first_start(replica, database)
        for _ in range(ROUNDS):
            async with asyncio.TaskGroup() as group:
                group.create_task(keep_writing(load))
                await asyncio.sleep(dice.uniform(0, 0.7))
                replica.kill()
                await replica.start("--no-init")
        await load.done()
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
