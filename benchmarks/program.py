"""One child process of the benchmark: started, told, listened to, weighed and ended by its process id."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).resolve().parent.parent
_START_S: Final = 60.0
_STOP_S: Final = 30.0
_LINE_BYTES: Final = 64 * 1024 * 1024


class Program:
    """A running child process; ``directory`` is where it works and where its log is."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._weighed = psutil.Process(process.pid)
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu_s(self) -> float:
        """Return the seconds of processor time it has used."""
        return cpu_s_of(self._weighed)

    def rss_mb(self) -> float:
        """Return the memory it holds, in MB."""
        return float(self._weighed.memory_info().rss) / 1e6

    async def heard(self, within_s: float = 600.0) -> dict[str, Any]:
        """Return the next thing the process tells; raise RuntimeError with its log when it has ended instead."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"process {self.pid} has ended; its log: {self.log_tail()}")
        told: dict[str, Any] = json.loads(line)
        return told

    async def give_word(self) -> None:
        """Let a process that waits for it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        await self._process.stdin.drain()

    async def started(self, event: str) -> None:
        """Return once the log holds ``event``: how a program without a channel to us says that it is ready."""
        async with asyncio.timeout(_START_S):
            while f'"{event}"' not in self.log.read_text(errors="replace"):
                self.raise_if_ended()
                await asyncio.sleep(0.05)

    def raise_if_ended(self) -> None:
        """Raise RuntimeError, with the end of the log, when the process does not run any more."""
        if self._process.returncode is not None:
            raise RuntimeError(
                f"process {self.pid} has ended with {self._process.returncode}; its log: {self.log_tail()}"
            )

    async def ended(self) -> None:
        """Return once the process has ended by itself."""
        async with asyncio.timeout(_STOP_S):
            await self._process.wait()

    def log_tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-2_000:]

    async def stop(self) -> None:
        """End it in an orderly way, or by force when it does not end in time."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


def cpu_s_of(process: psutil.Process) -> float:
    """Return the seconds of processor time a process has used, its own and the kernel's for it."""
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def running(
    arguments: list[str],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> AsyncIterator[Program]:
    """Yield ``python -m <arguments>`` running in ``directory``, free of our own settings; end it afterwards.

    ``under`` is a command that runs it, as a profiler does.
    """
    log = _log_in(directory, arguments[0])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REFLEXD_", "MONGODB_"))}
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *under,
            sys.executable,
            "-m",
            *arguments,
            stdin=PIPE,
            stdout=PIPE if arguments[0].startswith("benchmarks.") else DEVNULL,
            stderr=stderr,
            cwd=directory,
            env={**inherited, "PYTHONPATH": str(ROOT), **(environment or {})},
            limit=_LINE_BYTES,
        )
    program = Program(process, log)
    try:
        yield program
    finally:
        await program.stop()


def _log_in(directory: Path, module: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{module}.log"
