"""A real single-node replica set for tests: started, killed, restarted and ended by its process id.

It promises a primary that takes majority writes when ``start`` returns. It has test commands enabled
(``failCommand``), listens on loopback only and keeps everything in the directory it is given.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from daemon.mongo.mongod import spawn_mongod

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
ADDRESS_IN_USE: Final = 48  # mongod's exit code
ALREADY_INITIALIZED: Final = 23
_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 4 * 2**30  # bytes a server may take there: its journal, its oplog, the databases of the tests
_PREFIX: Final = "reflexd-tests-"


class Mongod:
    """One mongod process that is a replica set of its own."""

    def __init__(self, directory: Path, *arguments: str, oplog_mb: int = 512, cache_gb: float = 0.25) -> None:
        self.directory = directory
        self.oplog_mb = oplog_mb
        self.cache_gb = cache_gb
        self.arguments = arguments
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet=tests"

    def start(self) -> None:
        """Start the server, on the port it had before if it had one, and return once it is primary."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        keeps_port = self.port != 0
        for _ in range(5):
            self.port = self.port if keeps_port else free_port()
            self._spawn()
            try:
                self._become_primary()
                return
            except AddressInUse:
                if keeps_port:
                    raise
        raise AssertionError(f"no free port for mongod; its log: {self._log_tail()}")

    def kill(self) -> None:
        """End the server as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server in an orderly way, or by force when it does not end in time."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze the server: it keeps its connections and answers nothing."""
        os.kill(self._running().pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._running().pid, signal.SIGCONT)

    def _spawn(self) -> None:
        arguments = [
            *("--dbpath", str(self.directory / "data")),
            *("--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket"),
            *("--replSet", "tests", "--oplogSize", str(self.oplog_mb)),
            *("--wiredTigerCacheSizeGB", str(self.cache_gb)),
            *("--setParameter", "enableTestCommands=1"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=500"),  # no 15 s for clients of a primary
            *self.arguments,
        ]
        with (self.directory / "mongod.log").open("ab") as log:
            self.process = spawn_mongod(arguments, log)

    def _become_primary(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        client: MongoClient[dict[str, Any]]
        with MongoClient("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=100) as client:
            while time.monotonic() < deadline:
                code = self._running().poll()
                if code == ADDRESS_IN_USE:
                    raise AddressInUse(f"port {self.port}")
                assert code is None, f"mongod ended with {code}; its log: {self._log_tail()}"
                if self._is_primary(client):
                    return
        raise AssertionError(f"mongod was not primary within {START_TIMEOUT_S} s; its log: {self._log_tail()}")

    def _is_primary(self, client: MongoClient[dict[str, Any]]) -> bool:
        try:
            hello = client.admin.command("hello")
            if hello.get("isreplicaset"):
                member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
                client.admin.command("replSetInitiate", {"_id": "tests", "members": [member]})
            return bool(hello.get("isWritablePrimary"))
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise
        except PyMongoError:
            time.sleep(0.05)
        return False

    def _end(self, by: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(by)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "mongod is not started"
        return self.process

    def _log_tail(self) -> str:
        return (self.directory / "mongod.log").read_text(errors="replace")[-2000:]


@contextmanager
def fast_directory() -> Iterator[Path]:
    """Yield a new directory that is gone afterwards: in memory where there is room, for disks are shared by all.

    It is for servers that no test kills: what a write is worth that was confirmed is asked of a disk. What a run
    that was killed has left behind is taken away.
    """
    root = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 * _ROOM else Path(tempfile.gettempdir())
    for old in root.glob(f"{_PREFIX}*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(old, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class AddressInUse(Exception):
    """Somebody took the port between our choice of it and the server's start."""


def free_port() -> int:
    """Return a port of loopback that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
