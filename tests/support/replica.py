"""One replica as it ships: ``python -m daemon run`` as a process of its own, with the lines it logs.

It is ended by its process id only. What it logged is kept in a file, so that no pipe can fill up.
"""

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.noise import floods
from tests.support.poll import REPEAT_S, eventually
from tests.support.watchdog import Stall

ROOT = Path(__file__).parents[2]
LONGEST_STALL_S = 0.1  # of the processor time of the loop's thread
LONGEST_WAIT_S = 1.0  # in which it was blocked: on a machine that others use, the disk or a lock may be theirs
MOST_SOCKETS = 20  # to one server once all is calm: two clients with two monitors each, and what services use


class Replica:
    """A daemon process that can be killed, frozen, thawed and stopped."""

    def __init__(
        self, uri: str, database: str, directory: Path, name: str, *, is_watched: bool = False, **settings: Any
    ) -> None:
        """``settings`` are those of config.settings; a watched replica has a watchdog in its event loop."""
        self.name = name
        self.uri = uri
        self.database = database
        self.api_port = port_to_keep()
        self.life = 0
        self.touched_at = 0.0  # monotonic time in seconds at which it was last started, killed, frozen or signalled
        self._is_asleep = False  # frozen, or asked to stop
        self._frozen: list[tuple[float, float]] = []
        self._path = directory / f"{name}.log"
        self._stalls = directory / f"{name}.stalls"
        self._module = "tests.support.watched_daemon" if is_watched else "daemon"
        self._environment = {
            "PATH": os.environ["PATH"],
            "MONGODB_URI": uri,
            "MONGODB_DATABASE": database,
            "REFLEXD_LOG_FORMAT": "json",
            "REFLEXD_REPLICA_NAME": name,
            "REFLEXD_API_PORT": str(self.api_port),
            **({"STALLS": str(self._stalls)} if is_watched else {}),
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

    @property
    def is_awake(self) -> bool:
        """Whether the process can be expected to answer: it lives, is not frozen and was not asked to stop."""
        return self.is_alive and not self._is_asleep

    def spawn(self, *arguments: str, crash_at: str | None = None) -> None:
        """Start the process and do not wait for it; ``crash_at`` is for this life only."""
        environment = self._environment if crash_at is None else {**self._environment, "REFLEXD_CRASH_AT": crash_at}
        log: IO[bytes]
        with self._path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, "run", *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.life += 1
        self._touch(is_asleep=False)

    async def start(self, *arguments: str) -> "Replica":
        """Start the process and return once it takes part."""
        started = len(self.lines("daemon.started"))
        self.spawn(*arguments)
        await eventually(lambda: len(self.lines("daemon.started")) > started or not self.is_alive)
        assert self.is_alive, f"{self.name} ended with {self.process.returncode}: {self.tail()}"
        return self

    async def ended(self, within_s: float = REPEAT_S) -> int:
        """Return the exit code once the process has ended by itself."""
        await eventually(lambda: not self.is_alive, within_s)
        code = self.process.returncode
        assert code is not None
        return code

    def signal(self, number: signal.Signals) -> None:
        self._touch(is_asleep=number is not signal.SIGCONT)
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process as ``kill -9`` does."""
        if self.is_alive:
            self.signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        self._frozen.append((time.monotonic(), math.inf))
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)
        self._frozen[-1] = (self._frozen[-1][0], time.monotonic())

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

    async def said(self, event: str, times: int = 1) -> dict[str, Any]:
        """Return the newest line of an event once it was said so often; fail when the process ends without a word."""

        def has_said() -> list[dict[str, Any]]:
            lines = self.lines(event)
            return lines if len(lines) >= times else []

        await eventually(lambda: has_said() or not self.is_alive)
        lines = has_said()
        assert lines, f"{self.name} ended and did not say {event}: {self.tail()}"
        return lines[-1]

    def breaches(self) -> list[str]:
        """Return what it must not have done whatever happened to it: floods of lines (I7), stalls of its loop."""
        stalls = [stall for stall in self.stalls() if stall.cpu_s > LONGEST_STALL_S or stall.length_s > LONGEST_WAIT_S]
        return [f"{flood} ({self.name})" for flood in floods(self.lines())] + [
            f"I7: the loop of {self.name} was held up for {stall.length_s * 1000:.0f} ms: {stall}" for stall in stalls
        ]

    def leaks_no_socket(self) -> bool:
        """Return whether its sockets are in use, and no more of them than a pool and its monitors need; else fail."""
        found = psutil.Process(self.process.pid).net_connections("tcp")
        odd = [each for each in found if each.status not in (psutil.CONN_ESTABLISHED, psutil.CONN_LISTEN)]
        assert not odd, odd
        connected = [each for each in found if each.status == psutil.CONN_ESTABLISHED]
        servers = Counter(each.raddr.port for each in connected if each.laddr.port != self.api_port)
        assert all(count <= MOST_SOCKETS for count in servers.values()), servers
        return True

    def stalls(self) -> list[Stall]:
        """Return the stalls that a watched replica noted, without those that were our doing."""
        noted = self._stalls.read_bytes().splitlines() if self._stalls.exists() else []
        stalls = [Stall(**json.loads(line)) for line in noted]
        return [
            stall
            for stall in stalls
            if not any(since <= stall.ended and stall.began <= until for since, until in self._frozen)
        ]

    def _touch(self, *, is_asleep: bool) -> None:
        self.touched_at = time.monotonic()
        self._is_asleep = is_asleep

    def tail(self) -> str:
        """Return the end of what it said, for the message of a failed test."""
        return self._path.read_text(errors="replace")[-3000:] if self._path.exists() else ""


def port_to_keep() -> int:
    """Return a free port that no outgoing connection takes while a replica is down: it is below their range."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
            port: int = probe.getsockname()[1]
            return port


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
