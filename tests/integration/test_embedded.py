"""The embedded MongoDB: started, refused, taken over and ended as promised."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from pymongo import AsyncMongoClient

from config.error import ConfigError
from config.settings import Settings
from daemon.event import Event
from daemon.mongo import mongod
from daemon.mongo.embedded import EmbeddedServer, with_mongodb
from tests.support.events import Events
from tests.support.poll import eventually
from tests.support.settings import settings_for

START_AND_HANG = """
import asyncio, sys
from pathlib import Path
from daemon.mongo.embedded import EmbeddedServer
async def main():
    await EmbeddedServer(Path(sys.argv[1])).start()
    print("started", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    embedded = EmbeddedServer(tmp_path / "reflexd")
    yield embedded
    await embedded.stop()


async def insert_and_count(uri: str) -> int:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, w="majority")
    async with client:
        await client.crm.leads.insert_one({"name": "Ana"})
        return await client.crm.leads.count_documents({})


def pid_of(server_directory: Path) -> int:
    return int((server_directory / "mongod.pid").read_text())


async def test_it_takes_majority_writes_as_soon_as_it_has_started(server: EmbeddedServer) -> None:
    assert await insert_and_count(await server.start()) == 1


async def test_it_keeps_its_data_and_its_address_between_runs(server: EmbeddedServer, tmp_path: Path) -> None:
    first = await server.start()
    await insert_and_count(first)
    await server.stop()
    second = await server.start()
    assert (await insert_and_count(second), second) == (2, first)


async def test_it_moves_to_another_port_when_its_own_is_taken(server: EmbeddedServer, tmp_path: Path) -> None:
    first = await server.start()
    await insert_and_count(first)
    await server.stop()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", int((tmp_path / "reflexd" / "port").read_text())))
        second = await server.start()
        assert second != first
        assert await insert_and_count(second) == 2


async def test_stopping_ends_the_process_and_may_be_done_twice(server: EmbeddedServer, tmp_path: Path) -> None:
    await server.start()
    pid = pid_of(tmp_path / "reflexd")
    await server.stop()
    await server.stop()
    assert not psutil.pid_exists(pid)


async def test_a_second_daemon_on_the_directory_is_refused(server: EmbeddedServer, tmp_path: Path) -> None:
    await server.start()
    with pytest.raises(ConfigError, match=rf"in use by another reflexd \(process {os.getpid()}\)"):
        await EmbeddedServer(tmp_path / "reflexd").start()
    assert await insert_and_count(server.uri) == 1


async def test_the_server_of_a_killed_daemon_ends_by_itself(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", START_AND_HANG, str(tmp_path)], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"started\n"
        daemon.kill()
    pid = pid_of(tmp_path)
    await eventually(lambda: not psutil.pid_exists(pid))


async def test_a_left_over_server_does_not_block_the_next_run(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongod, "_libc", None)  # as on a system where nothing ends it with its parent
    await server.start()
    left_over = pid_of(tmp_path / "reflexd")
    process, server._process = server._process, None
    await server.stop()  # lets go of the directory and, not knowing of the process, leaves it running
    assert await insert_and_count(await server.start()) == 1
    assert process is not None
    assert process.wait(20) == 0
    assert pid_of(tmp_path / "reflexd") != left_over


async def test_a_process_number_used_again_by_somebody_else_is_left_alone(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        (tmp_path / "reflexd").mkdir()
        (tmp_path / "reflexd" / "mongod.pid").write_text(str(bystander.pid))
        await server.start()
        assert bystander.poll() is None
        bystander.send_signal(signal.SIGTERM)


async def test_a_server_that_cannot_start_says_what_it_said(server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "reflexd").mkdir()
    (tmp_path / "reflexd" / "data").mkdir()
    (tmp_path / "reflexd" / "data" / "storage.bson").write_bytes(b"not a MongoDB's")
    with pytest.raises(ConfigError, match=r"ended with exit code \d+: .+ \(see .*mongod\.log\)"):
        await server.start()


async def test_without_any_mongod_the_error_says_to_set_the_uri(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongod, "_shipped", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="Set MONGODB_URI"):
        await server.start()


async def test_a_command_beside_a_running_daemon_shares_its_server(server: EmbeddedServer, tmp_path: Path) -> None:
    uri = await server.start()
    settings = settings_for_directory(tmp_path / "reflexd")
    async with with_mongodb(settings, may_share=True) as connected:
        assert connected.mongodb_uri is not None
        assert connected.mongodb_uri.get_secret_value() == uri
    assert await insert_and_count(uri) == 1


async def test_a_command_without_a_daemon_gets_a_server_that_ends_with_it(tmp_path: Path) -> None:
    async with with_mongodb(settings_for_directory(tmp_path), may_share=True) as connected:
        assert connected.mongodb_uri is not None
        assert await insert_and_count(connected.mongodb_uri.get_secret_value()) == 1
        pid = pid_of(tmp_path)
    assert not psutil.pid_exists(pid)


async def test_the_address_that_is_told_leads_into_the_database(tmp_path: Path, events: Events) -> None:
    async with with_mongodb(settings_for_directory(tmp_path)):
        told = events.of(Event.EMBEDDED_STARTED)
        assert [urlsplit(fields["uri"]).path for fields in told] == ["/crm"]


async def test_a_configured_mongodb_is_used_and_none_is_started(mongo_uri: str, tmp_path: Path) -> None:
    settings = settings_for(mongo_uri, "crm", embedded_directory=tmp_path / "reflexd")
    async with with_mongodb(settings) as connected:
        assert connected == settings
    assert not (tmp_path / "reflexd").exists()


def settings_for_directory(directory: Path) -> Settings:
    return settings_for("", "crm", embedded_directory=directory).model_copy(update={"mongodb_uri": None})
