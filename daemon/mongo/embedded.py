"""The embedded MongoDB: a single-node replica set of our own, for trying things out and for development.

The server runs when MONGODB_URI is not set, listens on loopback only, keeps its data in a directory between runs and
ends with the daemon. When ``start`` returns, the server is primary. Only one daemon may use a directory: a second one
is refused, and a server that a killed daemon left behind is ended first.
"""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from config.error import ConfigError
from config.settings import Settings
from daemon.event import Event
from daemon.mongo.directory_lock import DirectoryLock
from daemon.mongo.mongod import spawn_mongod
from daemon.mongo.private_directory import check_private
from daemon.telemetry import emit

REPLICA_SET: Final = "reflexd"
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.05
_ADDRESS_IN_USE: Final = 48  # mongod's exit code
_ALREADY_INITIALIZED: Final = 23  # an error code of MongoDB


@asynccontextmanager
async def with_mongodb(settings: Settings, *, may_share: bool = False) -> AsyncIterator[Settings]:
    """Yield settings that name a MongoDB: the configured one, else an embedded one that ends with the context.

    With ``may_share`` the embedded server of a daemon that already runs in the directory is used instead of being
    an error: for commands that work beside it.
    """
    if settings.mongodb_uri is not None:
        yield settings
        return
    server = EmbeddedServer(settings.embedded_directory)
    shared = server.uri_of_another() if may_share else None
    if shared is not None:
        yield settings.with_mongodb_uri(shared)
        return
    try:
        uri = await server.start()
        address = uri.replace("/?", f"/{settings.database_name}?")  # as people pass it to mongosh
        emit(Event.EMBEDDED_STARTED, uri=address, directory=str(settings.embedded_directory))
        yield settings.with_mongodb_uri(uri)
    finally:
        await server.stop()


class EmbeddedServer:
    """One mongod under ``directory``: ``data/``, ``mongod.log`` of this run, ``port``, ``mongod.pid`` and ``lock``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._lock = DirectoryLock(self._directory / "lock")
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """The address to connect to, once started."""
        return _uri(self._port)

    def uri_of_another(self) -> str | None:
        """Return the address of the server that another daemon runs in this directory, None if none does.

        Raises ConfigError if the directory is another user's: the address could be anybody's.
        """
        check_private(self._directory)
        pid, port = _number_in(self._directory / "mongod.pid"), self._port_of_last_run()
        if pid is None or not port or not self._is_ours(pid) or not self._lock.is_held_elsewhere():
            return None
        return _uri(port)

    async def start(self) -> str:
        """Start the server and return its URI once it is primary; raise ConfigError when it cannot run here."""
        self._lock.acquire()
        try:
            (self._directory / "data").mkdir(exist_ok=True)
            await self._end_left_over()
            self._port = _free_port(preferred=self._port_of_last_run())
            self._spawn()
            await self._wait_until_primary()
        except BaseException:
            await self.stop()
            raise
        return self.uri

    async def stop(self) -> None:
        """End the server, in an orderly way while there is time; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
            (self._directory / "mongod.pid").unlink(missing_ok=True)
        self._lock.release()

    def _spawn(self) -> None:
        arguments = [
            *("--dbpath", str(self._directory / "data")),
            *("--bind_ip", "127.0.0.1", "--port", str(self._port), "--nounixsocket"),
            *("--replSet", REPLICA_SET, "--oplogSize", "512", "--wiredTigerCacheSizeGB", "0.25"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]
        with (self._directory / "mongod.log").open("wb") as log:
            self._process = spawn_mongod(arguments, log)
        (self._directory / "mongod.pid").write_text(f"{self._process.pid}\n")
        (self._directory / "port").write_text(f"{self._port}\n")

    async def _wait_until_primary(self) -> None:
        """Configure the replica set when that is needed and return once this node is its primary."""
        assert self._process is not None
        until = time.monotonic() + START_TIMEOUT_S
        client: AsyncMongoClient[dict[str, Any]]
        async with AsyncMongoClient(
            "127.0.0.1", self._port, directConnection=True, serverSelectionTimeoutMS=100
        ) as client:
            while time.monotonic() < until:
                if (code := self._process.poll()) is not None:
                    raise ConfigError(self._why_it_ended(code))
                try:
                    if await self._is_primary(client):
                        return
                except PyMongoError:
                    await asyncio.sleep(_POLL_S)
        raise ConfigError(f"the embedded mongod was not ready within {START_TIMEOUT_S:.0f} s; see {self._log_path}")

    async def _is_primary(self, client: AsyncMongoClient[dict[str, Any]]) -> bool:
        hello = await client.admin.command("hello")
        if hello.get("isWritablePrimary"):
            return True
        config = {"_id": REPLICA_SET, "version": 1, "members": [{"_id": 0, "host": f"127.0.0.1:{self._port}"}]}
        if not hello.get("isreplicaset"):
            await asyncio.sleep(_POLL_S)
            return False
        try:
            await client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code != _ALREADY_INITIALIZED:
                raise
            # The port of the last run was taken: the stored member list names an address that is not ours.
            await client.admin.command({"replSetReconfig": config, "force": True})
        return False

    async def _end_left_over(self) -> None:
        """End the mongod that a killed daemon left behind: we hold the lock, so no daemon uses it."""
        pid = _number_in(self._directory / "mongod.pid")
        if pid is None or not self._is_ours(pid):
            return
        until = time.monotonic() + STOP_TIMEOUT_S
        os.kill(pid, signal.SIGTERM)
        while self._is_ours(pid):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_POLL_S)

    def _is_ours(self, pid: int) -> bool:
        """Return whether process ``pid`` is a mongod on our data directory: process ids are reused."""
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"mongod" in command[0] and str(self._directory / "data").encode() in command

    def _port_of_last_run(self) -> int:
        return _number_in(self._directory / "port") or 0

    @property
    def _log_path(self) -> Path:
        return self._directory / "mongod.log"

    def _why_it_ended(self, code: int) -> str:
        if code == _ADDRESS_IN_USE:
            return f"the embedded mongod could not listen on port {self._port}: somebody else took it; start again"
        lines = self._log_path.read_text(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return f"the embedded mongod ended with exit code {code}: {last[:500]} (see {self._log_path})"


def _uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def _free_port(preferred: int) -> int:
    """Return a free loopback port, the preferred one if it is free: a steady address spares a reconfiguration."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            found: int = probe.getsockname()[1]
            return found
    raise ConfigError("no free port on 127.0.0.1 for the embedded mongod")


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text().strip())
    except (OSError, ValueError):
        return None
