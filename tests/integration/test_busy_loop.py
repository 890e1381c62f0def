"""A busy event loop starves no renewal: where every turn of it is long and none is idle, no lease is lost."""

import asyncio
import time
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from daemon.lease.store import lane_name
from tests.support.daemon import reading, running_daemon
from tests.support.invariants import violations
from tests.support.load import prepared_load
from tests.support.poll import eventually

Database = AsyncDatabase[dict[str, Any]]

LEASE_S: Final = 3.0  # half of the default
TURN_S: Final = 0.02
BUSY_S: Final = 2.5 * LEASE_S


async def keep_busy(until: float) -> None:
    """Be at work in every turn of the loop; no turn waits for anything."""
    while time.monotonic() < until:
        turn_until = time.monotonic() + TURN_S
        while time.monotonic() < turn_until:
            pass
        await asyncio.sleep(0)


async def test_no_lease_is_lost_while_the_loop_has_work_without_end(mongo_uri: str, database: Database) -> None:
    load = await prepared_load(database)
    async with running_daemon(mongo_uri, database.name, lease_s=LEASE_S) as daemon:
        await reading(daemon)
        names = daemon._leases.names
        epochs = {name: daemon._leases.epoch(name) for name in names}
        busy = asyncio.create_task(keep_busy(time.monotonic() + BUSY_S))
        writing = asyncio.create_task(load.write(20))
        while not busy.done():
            assert all(daemon._leases.is_trusted(name) for name in names)
            await asyncio.sleep(0)
        await writing
        await load.done()
        assert {name: daemon._leases.epoch(name) for name in names} == epochs
        assert daemon._may_start(0)
    assert await violations(database, load.since, load.expected()) == []


async def test_a_loop_that_stood_still_for_a_lease_starts_nothing(mongo_uri: str, database: Database) -> None:
    async with running_daemon(mongo_uri, database.name, lease_s=1) as daemon:
        time.sleep(1)  # noqa: ASYNC251 - the fault: nothing else runs meanwhile
        assert not daemon._may_start(0)
        await eventually(lambda: daemon._leases.is_trusted(lane_name(0)))
