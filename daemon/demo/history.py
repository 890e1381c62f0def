"""Read the executions and decisions that the daemon stored, with the names of workflows and entities."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bson import ObjectId

from config.collection_names import Collections
from config.error import ReflexdError
from daemon.executions.status import ENDED, StepStatus

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

NameOf = Callable[[str, Any], str]
T = TypeVar("T")
NOBODY: Final = "nobody"  # the entity of a request that only needs an answer
_POLL_S: Final = 0.05


class DemoStuck(ReflexdError):
    """An event that the demo waits for did not happen in time."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution, as much of it as the demo compares."""

    workflow: str
    entity: str
    status: str
    steps: tuple[str, ...]

    def __str__(self) -> str:
        steps = ", ".join(self.steps) or "no step yet"
        return f"{self.workflow} for {self.entity}: {self.status} ({steps})"


@dataclass(frozen=True, slots=True)
class NotRun:
    """One candidate that did not run, and why."""

    workflow: str
    entity: str
    reason: str

    def __str__(self) -> str:
        return f"{self.workflow} for {self.entity}: not run, {self.reason}"


@dataclass(frozen=True, slots=True)
class History:
    """All executions in the order in which they were numbered, all refusals, and the effects by collection."""

    runs: tuple[Run, ...]
    not_run: Counter[NotRun]
    effects: Mapping[str, int]


class HistoryReader:
    """Reads the daemon's collections, with the CRM's own client."""

    def __init__(self, database: "AsyncIOMotorDatabase[dict[str, Any]]", names: Collections, name_of: NameOf) -> None:
        self._database = database
        self._names = names
        self._name_of = name_of

    async def read(self) -> History:
        """Return everything that is stored now."""
        executions = await self._database[self._names.executions].find().sort("seq", 1).to_list(None)
        decisions = await self._database[self._names.decisions].find({"kind": "change"}).to_list(None)
        effects = {
            name: await self._database[name].count_documents({})
            for name in (self._names.tasks, self._names.notifications)
        }
        return History(
            tuple(run_of(document, self._name_of) for document in executions),
            Counter(each for document in decisions for each in not_run_of(document, self._name_of)),
            effects,
        )

    async def observed(self, workflow: str) -> Mapping[str, Any]:
        """Return what the daemon has written back into a workflow; empty before it has."""
        document = await self._database[self._names.workflows].find_one({"name": workflow}) or {}
        observed: Mapping[str, Any] = document.get("observed") or {}
        return observed

    async def answer(self, request_id: ObjectId) -> Mapping[str, Any]:
        """Return a request once it is answered."""
        requests = self._database[self._names.requests]

        async def answered() -> Mapping[str, Any] | None:
            return await requests.find_one({"_id": request_id, "status": {"$exists": True}})

        return await until(answered, "the answer to a request")

    async def schedule_position(self, schedule_id: str) -> Mapping[str, Any] | None:
        """Return what the daemon has stored about a schedule; None before it has."""
        return await self._database[self._names.state].find_one({"_id": schedule_id})

    async def become_quiet(self, within_s: float) -> None:
        """Return when every execution has ended and nothing of what they did starts another one.

        A request proves that: requests are answered in stream order, so after the answer the daemon has judged every
        change before it. Raise DemoStuck when that takes more than ``within_s`` seconds.
        """
        executions, requests = self._database[self._names.executions], self._database[self._names.requests]
        unfinished = {"status": {"$nin": [str(status) for status in ENDED]}}

        async def is_quiet() -> bool:
            if await executions.count_documents(unfinished):
                return False
            marker = await requests.insert_one({"workflow_id": NOBODY, "entity_type": "none", "entity_id": NOBODY})
            await self.answer(marker.inserted_id)
            return not await executions.count_documents(unfinished)

        await until(is_quiet, "the end of every execution", within_s)


def run_of(document: Mapping[str, Any], name_of: NameOf) -> Run:
    """Return an execution document as a run."""
    steps = tuple(step_text(step) for step in document["actions_executed"])
    entity = name_of(document["triggered_by_entity_type"], document["triggered_by_entity_id"])
    return Run(document["workflow_name"], entity, document["status"], steps)


def not_run_of(document: Mapping[str, Any], name_of: NameOf) -> list[NotRun]:
    """Return the refusals of a decision document about one change."""
    entity = name_of(document["entity_type"], document["entity_id"])
    return [NotRun(entry.get("workflow_name", "?"), entity, entry["reason"]) for entry in document["entries"]]


def step_text(step: Mapping[str, Any]) -> str:
    """Return ``action_type status``, as expectations are written."""
    return f"{step['action_type']} {StepStatus(step['status'])}"


async def until(probe: Callable[[], Awaitable[T | None]], what: str, within_s: float = 15.0) -> T:
    """Return the first true value that ``probe`` gives; raise DemoStuck, naming ``what``, when there is none."""
    deadline = time.monotonic() + within_s
    while not (value := await probe()):
        if time.monotonic() > deadline:
            raise DemoStuck(f"waited {within_s:.0f} s for {what}")
        await asyncio.sleep(_POLL_S)
    return value
