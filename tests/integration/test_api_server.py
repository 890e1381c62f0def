"""The HTTP API inside a running daemon: it listens, tells the truth about health, and leaves with the daemon."""

import socket
from typing import Any

import httpx2
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from config.error import ConfigError
from daemon.app import Daemon
from tests.support.daemon import running_daemon
from tests.support.poll import eventually

Database = AsyncDatabase[dict[str, Any]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def ask(daemon: Daemon, path: str) -> httpx2.Response:
    assert daemon.api_address is not None
    host, port = daemon.api_address
    async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
        return await client.get(path)


async def test_a_daemon_answers_while_it_runs_and_not_afterwards(mongo_uri: str, database: Database) -> None:
    port = free_port()
    async with running_daemon(mongo_uri, database.name, api_port=port) as daemon:
        assert (await ask(daemon, "/healthz")).json() == {"status": "ok"}
        assert len((await ask(daemon, "/workflows")).json()) == 3
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


async def test_a_port_of_0_switches_the_api_off(mongo_uri: str, database: Database) -> None:
    async with running_daemon(mongo_uri, database.name, api_port=0) as daemon:
        assert daemon.api_address is None


async def test_a_port_that_is_taken_stops_a_daemon_that_was_told_to_use_it(mongo_uri: str, database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon = running_daemon(mongo_uri, database.name, api_port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot listen on"):
            await daemon.__aenter__()


async def test_it_is_ready_once_the_stream_is_read_and_says_so_when_history_is_lost(
    mongo_uri: str, database: Database
) -> None:
    async with running_daemon(mongo_uri, database.name, api_port=free_port()) as daemon:

        async def is_ready() -> bool:
            return (await ask(daemon, "/readyz")).status_code == 200

        await eventually(is_ready)
        gap = {"_id": "gap/1", "kind": "gap", "from": "then", "to": "now", "acknowledged": False}
        await database["workflow_state"].insert_one(gap)
        answer = await ask(daemon, "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
        assert "history was lost" in answer.json()["reasons"][0]


async def test_counters_are_told_to_prometheus(mongo_uri: str, database: Database) -> None:
    async with running_daemon(mongo_uri, database.name, api_port=free_port()) as daemon:
        daemon.metrics.steps = 7
        text = (await ask(daemon, "/metrics")).text
    assert "reflexd_steps_total 7.0" in text
    assert "reflexd_lanes 32.0" in text
    assert "process_resident_memory_bytes" in text
