"""A three-node replica set on loopback that can lose its primary, its majority or everything.

Elections take about two seconds (``electionTimeoutMillis``). It blocks nobody's event loop: what waits does so
asynchronously. Test commands are enabled; nodes are ended by their process ids only.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from tests.support.mongod import Mongod, free_port
from tests.support.poll import eventually
from tests.support.tcp_proxy import TcpProxy

NODES: Final = 3
_SETTINGS: Final = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
_NO_CATCH_UP: Final = {"catchUpTimeoutMillis": 0, "catchUpTakeoverDelayMillis": -1}


class Node(Mongod):
    """One member: it answers when it has started, primary or not.

    With a ``proxy`` the others and the clients reach it through that one only.
    """

    proxy: TcpProxy | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.proxy.port if self.proxy is not None else self.port}"

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def spawn(self) -> None:
        """Start the server, on the port it had before if it had one, and do not wait for it."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self._spawn()

    async def command(self, command: str | Mapping[str, Any]) -> dict[str, Any]:
        """Return what this node alone answers to an admin command; raise the driver's error."""
        return await asyncio.to_thread(self._command, command)

    async def is_primary(self) -> bool:
        return bool((await self.hello()).get("isWritablePrimary"))

    async def hello(self) -> dict[str, Any]:
        """Return what the node says of itself, nothing while it does not answer."""
        if not self.is_up:
            return {}
        try:
            return await self.command("hello")
        except PyMongoError:
            return {}

    def _command(self, command: str | Mapping[str, Any]) -> dict[str, Any]:
        client: MongoClient[dict[str, Any]]
        with MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=300, socketTimeoutMS=10_000
        ) as client:
            return client.admin.command(command if isinstance(command, str) else dict(command))


class ReplicaSet:
    """Three nodes and the faults they can have."""

    def __init__(self, directory: Path) -> None:
        self.nodes = [Node(directory / f"node{number}", oplog_mb=128) for number in range(NODES)]

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(node.host for node in self.nodes)}/?replicaSet=tests"

    async def start(self, *, through_proxies: bool = False, catches_up: bool = True) -> None:
        """Start all nodes and return once one of them is primary.

        A new primary that does not catch up leaves behind what only the former one had.
        """
        for node in self.nodes:
            node.spawn()
            if through_proxies:
                node.proxy = TcpProxy(node.port)
                await node.proxy.start()
        await eventually(self._all_answer)
        members = [{"_id": number, "host": node.host} for number, node in enumerate(self.nodes)]
        settings = _SETTINGS if catches_up else {**_SETTINGS, **_NO_CATCH_UP}
        config = {"_id": "tests", "members": members, "settings": settings}
        await self.nodes[0].command({"replSetInitiate": config})
        await self.primary()
        await self.healthy()

    async def primary(self) -> Node:
        """Return the primary once there is one."""
        found: list[Node] = []

        async def look() -> bool:
            found[:] = [node for node in self.nodes if await node.is_primary()]
            return bool(found)

        await eventually(look, every_s=0.05)
        return found[0]

    async def healthy(self) -> None:
        """Start what is down and return once all nodes follow one primary."""
        for node in self.nodes:
            if not node.is_up:
                node.spawn()
        await self.primary()

        async def all_follow() -> bool:
            said = [await node.hello() for node in self.nodes]
            return all(hello.get("isWritablePrimary") or hello.get("secondary") for hello in said)

        await eventually(all_follow, every_s=0.1)

    async def step_down(self) -> None:
        """Have the primary step down, and return once there is a primary again."""
        node = await self.primary()
        with suppress(AutoReconnect, OperationFailure):  # it closes connections, or another election was faster
            await node.command({"replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5, "force": True})
        await self.primary()

    async def kill_primary(self) -> Node:
        """End the primary as a power cut would; return it."""
        node = await self.primary()
        await asyncio.to_thread(node.kill)
        return node

    async def kill_all(self) -> None:
        for node in self.nodes:
            await asyncio.to_thread(node.kill)

    async def stop(self) -> None:
        """End all nodes, as a power cut would: nobody needs the data any more."""
        await self.kill_all()
        for node in self.nodes:
            if node.proxy is not None:
                await node.proxy.stop()

    async def _all_answer(self) -> bool:
        return all([await node.hello() for node in self.nodes])


@asynccontextmanager
async def running_replica_set(
    directory: Path, *, through_proxies: bool = False, catches_up: bool = True
) -> AsyncIterator[ReplicaSet]:
    """Yield a replica set that has a primary; its processes are ended afterwards."""
    replica_set = ReplicaSet(directory)
    try:
        await replica_set.start(through_proxies=through_proxies, catches_up=catches_up)
        yield replica_set
    finally:
        await replica_set.stop()
