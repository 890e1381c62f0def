"""Connections that ask for nothing, or bit by bit, keep nobody else from being answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from daemon.api import body_limit, connection
from daemon.mongo import client as mongo_client_module
from tests.support.daemon import running_daemon
from tests.support.mongod import free_port
from tests.support.poll import REPEAT_S

Database = AsyncDatabase[dict[str, Any]]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def port(mongo_uri: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A daemon whose limits are soon reached."""
    monkeypatch.setattr(connection, "MOST", 40)
    monkeypatch.setattr(connection, "ARRIVAL_S", 1.0)
    monkeypatch.setattr(body_limit, "LONGEST_S", 0.8)
    monkeypatch.setitem(mongo_client_module._FOR_READERS, "timeoutMS", 2_000)
    chosen = free_port()
    async with running_daemon(mongo_uri, database.name, api_port=chosen):
        yield chosen


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Return all that is answered to some bytes, sent one part after another, until the connection is closed."""
    async with asyncio.timeout(REPEAT_S), connected(port) as (reader, writer):

        async def drip() -> None:
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause_s)

        dripping = asyncio.create_task(drip())
        try:
            return await reader.read()
        except ConnectionError:
            return b"closed"
        finally:
            dripping.cancel()
            await asyncio.wait([dripping])


async def test_nobody_can_hold_what_others_need(
    port: int, database: Database, mongo_client: AsyncMongoClient[dict[str, Any]]
) -> None:
    async with AsyncExitStack() as stack:
        readers = [(await stack.enter_async_context(connected(port)))[0] for _ in range(100)]
        assert b"200 OK" in await said(port, HEALTH)  # idle ones make room
        closed = [reader.at_eof() or reader.exception() is not None for reader in readers]
        assert sum(closed) >= 60

    head = b"GET /workflows HTTP/1.1\r\nHost: localhost\r\nX: "
    late = await said(port, *([head, *[b"x"] * 200]), pause_s=0.05)
    assert late.startswith(b"HTTP/1.1 408 ")
    assert b"X-Content-Type-Options: nosniff" in late

    head = b"POST /workflows/validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    late = await said(port, head + b"Content-Length: 1000\r\n\r\n", *[b" "] * 200, pause_s=0.05)
    assert late.startswith(b"HTTP/1.1 408 ")
    late = await said(port, head + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 200, pause_s=0.05)
    assert late.startswith(b"HTTP/1.1 408 ")
    assert await said(port) == b""  # who says nothing is closed without a word

    garbage = await said(port, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert garbage.startswith(b"HTTP/1.1 400 ")
    assert b"X-Content-Type-Options: nosniff" in garbage
    assert b"Cache-Control: no-store" in garbage
    two = await said(port, HEALTH.replace(b"Connection: close\r\n", b"") + HEALTH)
    assert two.count(b"200 OK") == 2
    assert b"200 OK" in await said(port, b"GET /workflows HTTP/1.0\r\nHost: localhost\r\n\r\n")
    expecting = head + b"Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    assert b"200 OK" in await said(port, expecting, b"{}", pause_s=0.2)

    blocked: dict[str, Any] = {"failCommands": ["aggregate"], "appName": "reflexd-api"}
    blocked |= {"blockConnection": True, "blockTimeMS": 10_000}
    await mongo_client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": blocked})
    try:
        slow = await said(port, HEALTH.replace(b"/healthz", b"/executions"))
        assert slow.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in slow.lower()
    finally:
        await mongo_client.admin.command("configureFailPoint", "failCommand", mode="off")
