"""One replica as it ships: ``python -m daemon run`` as a process of its own, with the lines it logs.

It is ended by its process id only. What it logged is kept in a file, so that no pipe can fill up.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.support.poll import eventually

ROOT = Path(__file__).parents[2]
START_S = 20.0


class Replica:
    """A daemon process that can be killed, frozen, thawed and stopped."""

    def __init__(self, uri: str, database: str, directory: Path, name: str, **settings: Any) -> None:
        """``settings`` are those of config.settings; ``crash_at`` is a crash point."""
        self.name = name
        self._path = directory / f"{name}.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "MONGODB_URI": uri,
            "MONGODB_DATABASE": database,
            "REFLEXD_LOG_FORMAT": "json",
            "REFLEXD_REPLICA_NAME": name,
            **{f"REFLEXD_{key.upper()}": str(value) for key, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} is not started"
        return self._process

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def spawn(self, *arguments: str, crash_at: str | None = None) -> None:
        """Start the process and do not wait for it; ``crash_at`` is for this life only."""
        environment = self._environment if crash_at is None else {**self._environment, "REFLEXD_CRASH_AT": crash_at}
        log: IO[bytes]
        with self._path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "daemon", "run", *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def start(self, *arguments: str) -> "Replica":
        """Start the process and return once it takes part."""
        started = len(self.lines("daemon.started"))
        self.spawn(*arguments)
        await eventually(lambda: len(self.lines("daemon.started")) > started or not self.is_alive, START_S)
        assert self.is_alive, f"{self.name} ended with {self.process.returncode}: {self.tail()}"
        return self

    async def ended(self, within_s: float = 30.0) -> int:
        """Return the exit code once the process has ended by itself."""
        await eventually(lambda: not self.is_alive, within_s)
        code = self.process.returncode
        assert code is not None
        return code

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process as ``kill -9`` does."""
        if self.is_alive:
            self.signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    async def stop(self) -> int:
        """Ask the process to stop and return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the lines it logged, all or those of one event."""
        if not self._path.exists():
            return []
        marker = f'"{event}"'.encode() if event is not None else b"{"
        found = [
            json.loads(line) for line in self._path.read_bytes().splitlines() if marker in line and line[-1:] == b"}"
        ]
        return [line for line in found if event is None or line["event.action"] == event]

    def tail(self) -> str:
        """Return the end of what it said, for the message of a failed test."""
        return self._path.read_text(errors="replace")[-3000:] if self._path.exists() else ""


async def first_start(replica: Replica, database: AsyncDatabase[dict[str, Any]]) -> None:
    """Start the first replica that a database ever sees, and return once it reads: what was written before is past."""
    await replica.start()
    await eventually(lambda: database.workflow_state.count_documents({"_id": "checkpoint"}))


@asynccontextmanager
async def replicas_ended(*replicas: Replica) -> AsyncIterator[None]:
    """Kill whatever of ``replicas`` still runs at the end."""
    try:
        yield
    finally:
        for replica in replicas:
            replica.kill()
