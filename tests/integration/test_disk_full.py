"""The disk of MongoDB is full: the server dies, the daemon says so and waits, and goes on when there is room again.

A limit on the size of files makes every write of the server fail as a full disk does; no mount and no privilege is
needed for it.
"""

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from daemon.mongo.codec import CODEC
from tests.support.load import prepared_load
from tests.support.mongod import Mongod
from tests.support.poll import eventually
from tests.support.survivor import AWAY, replica_on, settled


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mongod]:
    server = Mongod(tmp_path / "mongod")
    server.start()
    yield server
    server.stop()


def fill_disk(server: Mongod) -> None:
    """Let no file of a running server grow, nor be written behind its first kilobytes."""
    assert server.process is not None
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, hard))


async def test_a_full_disk_is_a_restart_of_the_server(server: Mongod, tmp_path: Path) -> None:
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(server.uri, w="majority", tz_aware=True, timeoutMS=5_000) as client:
        load = await prepared_load(client.get_database("crm", codec_options=CODEC))
        async with replica_on(server.uri, load, tmp_path, reason=AWAY) as replica:
            await load.write(20)
            process = server.process
            assert process is not None
            fill_disk(server)
            writing = asyncio.create_task(load.write(20))
            await eventually(lambda: process.poll() is not None)
            await replica.said("lease.lost")
            assert process.returncode != 0
            await asyncio.to_thread(server.start)
            await writing
            await settled(load)
