"""Who is measured: the daemon as it ships, and the bounds; each in a process of its own, on a fresh database."""

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psutil
from pydantic import SecretStr
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.child import client_of
from benchmarks.program import Program, cpu_s_of, running
from benchmarks.workload import Workload, workflow_document
from config.preset import load_presets
from config.settings import Settings
from daemon.mongo.initialise import initialise

_numbers: Final = itertools.count(1)


class Contender(StrEnum):
    """Who does the work."""

    DAEMON = "daemon"
    TWO_PHASE = "two-phase bound"
    ONE_PHASE = "one-phase bound"


@dataclass(frozen=True, slots=True)
class Server:
    """The mongod of the benchmark, and where child processes work."""

    uri: str
    pid: int
    directory: Path

    def cpu_s(self) -> float:
        """Return the seconds of processor time that mongod has used."""
        return cpu_s_of(psutil.Process(self.pid))


@dataclass(frozen=True, slots=True)
class Arena:
    """A fresh database and those who work on it."""

    server: Server
    database: AsyncDatabase[dict[str, Any]]
    programs: tuple[Program, ...]

    def cpu_s(self) -> float:
        """Return the seconds of processor time that the programs have used."""
        return sum(program.cpu_s() for program in self.programs)

    def rss_mb(self) -> float:
        """Return the memory that the largest of the programs holds, in MB."""
        return max(program.rss_mb() for program in self.programs)

    async def ended(self) -> int:
        """Return how many executions have ended, by the counters; raise RuntimeError if a program has died."""
        for program in self.programs:
            program.raise_if_ended()
        counters = self.database["workflow_state"].find({"kind": "counter"}, {"execution_count": 1})
        return sum([counter["execution_count"] async for counter in counters])


@asynccontextmanager
async def prepared(server: Server) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Yield a fresh database with the daemon's indexes and images and without its presets; drop it afterwards.

    The presets look at the same leads: with them, every lead would also cost a decision that no bound writes.
    """
    async with client_of(server.uri) as client:
        database = client[f"bench_{next(_numbers)}"]
        await database["workflow_state"].insert_one(
            {"_id": "presets", "kind": "presets", "installed": [preset.id for preset in load_presets()]}
        )
        await initialise(database, Settings.model_construct(mongodb_uri=SecretStr(server.uri)))
        yield database
        await client.drop_database(database.name)


@asynccontextmanager
async def arena(
    server: Server,
    contender: Contender,
    workload: Workload | None,
    replicas: int = 1,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Arena]:
    """Yield a database on which ``contender`` is ready to work; without a workload it has nothing to do.

    ``settings``: variables that the daemon is given beside the defaults.
    """
    async with prepared(server) as database, AsyncExitStack() as stack:
        if workload is not None:
            await database["workflows"].insert_one(workflow_document(workload))
        programs: list[Program] = []
        for number in range(replicas):
            directory = server.directory / f"{database.name}-{number}"
            if contender is Contender.DAEMON:
                program = await stack.enter_async_context(daemon(server, database.name, directory, settings))
            else:
                phases = 1 if contender is Contender.ONE_PHASE else 2
                program = await stack.enter_async_context(
                    child(server, "bound", database.name, workload=(workload or Workload()).to_json(), phases=phases)
                )
            programs.append(program)
        yield Arena(server, database, tuple(programs))


@asynccontextmanager
async def child(server: Server, module: str, database_name: str, **asked: Any) -> AsyncIterator[Program]:
    """Yield a child process of the benchmark that has said that it is ready."""
    told = json.dumps({"uri": server.uri, "database": database_name, **asked})
    async with running([f"benchmarks.{module}", told], server.directory / database_name) as program:
        await program.heard()
        yield program


@asynccontextmanager
async def daemon(
    server: Server,
    database_name: str,
    directory: Path,
    settings: Mapping[str, str] | None = None,
    *,
    module: str = "daemon",
) -> AsyncIterator[Program]:
    """Yield a daemon that takes part; ``module`` is what runs it, where that is not the product's own."""
    environment = {"MONGODB_URI": server.uri, "MONGODB_DATABASE": database_name, **(settings or {})}
    async with running([module, "run"], directory, environment) as program:
        await program.started("daemon.started")
        yield program
