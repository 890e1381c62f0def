"""A daemon with workflows on a bench: put one in, change entities as a CRM does, see exactly what ran and what not."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from config.preset import load_presets
from daemon.app import Daemon
from tests.support.commits import committed
from tests.support.daemon import reading, running_daemon
from tests.support.poll import REPEAT_S

TASK: Final = {"type": "create_task", "title": "Look at it"}
T = TypeVar("T")
_MARKER: Final = ObjectId("5e0000000000000000000001")


def workflow_document(trigger: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an active workflow with one action inside MongoDB; ``changes`` are put over it."""
    return {"_id": ObjectId(), "name": "On the bench", "trigger": dict(trigger), "actions": [TASK], **changes}


def created(entity_type: str = "lead") -> dict[str, Any]:
    return {"type": "entity_created", "entity_type": entity_type}


def updated(*fields: str, entity_type: str = "lead", **more: Any) -> dict[str, Any]:
    return {"type": "field_updated", "entity_type": entity_type, **({"fields": list(fields)} if fields else {}), **more}


def deleted(entity_type: str = "lead") -> dict[str, Any]:
    return {"type": "entity_deleted", "entity_type": entity_type}


class Bench:
    """One database, the daemon that takes part in it, and short ways to look at both."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], daemon: Daemon) -> None:
        self.database = database
        self.daemon = daemon
        self.leads = database["leads"]
        self.deals = database["deals"]
        self.workflows = database["workflows"]
        self.executions = database["workflow_executions"]
        self.state = database["workflow_state"]

    async def add(self, trigger: Mapping[str, Any], **changes: Any) -> Any:
        """Insert a workflow; return its id. Whatever is written afterwards meets it."""
        document = workflow_document(trigger, **changes)
        await self.workflows.insert_one(document)
        return document["_id"]

    async def clear(self) -> None:
        """Delete all workflows, so that what is written afterwards meets none of them, and all entities."""
        await self.workflows.delete_many({"_id": {"$ne": _MARKER}})
        for entities in (self.leads, self.deals, self.database["contacts"]):
            await entities.delete_many({})

    async def taken_in(self) -> None:
        """Return once everything written before has been taken in: a marker written now has."""
        marker = await self.database["contacts"].insert_one({"is_marker": True})

        async def has_run() -> object:
            return await self.executions.find_one(
                {"workflow_id": _MARKER, "triggered_by_entity_id": marker.inserted_id}, {"_id": 1}
            )

        await committed(self.database, has_run)

    async def runs(self, workflow_id: Any) -> list[dict[str, Any]]:
        """Return all executions of a workflow, in order, for everything written so far."""
        await self.taken_in()
        return await self.executions.find({"workflow_id": workflow_id}).sort("seq", 1).to_list()

    async def ran_for(self, workflow_id: Any) -> list[Any]:
        """Return the ids of the entities that a workflow ran for, in order."""
        return [run["triggered_by_entity_id"] for run in await self.runs(workflow_id)]

    async def ended(self, workflow_id: Any, count: int) -> list[dict[str, Any]]:
        """Return the executions of a workflow once ``count`` of them have ended."""

        ended = {"workflow_id": workflow_id, "completed_at": {"$ne": None}}

        async def have_ended() -> bool:
            found = await self.executions.count_documents(ended)
            assert found == count, found
            return True

        await self.committed(have_ended)
        return await self.executions.find(ended).sort("seq", 1).to_list()

    async def committed(self, probe: Callable[[], Awaitable[T]], within_s: float = REPEAT_S) -> T:
        """Return the first true value of ``probe``, asked after every commit."""
        return await committed(self.database, probe, within_s)

    async def decisions(self, entity_id: Any) -> list[dict[str, Any]]:
        """Return the decisions on the changes of an entity, for everything written so far."""
        await self.taken_in()
        found = self.database["workflow_decisions"].find({"kind": "change", "entity_id": entity_id})
        return await found.sort("at", 1).to_list()

    async def refusals(self, workflow_id: Any) -> list[dict[str, Any]]:
        """Return the entries of a workflow in all decisions, oldest first."""
        await self.taken_in()
        found = self.database["workflow_decisions"].find({"entries.workflow_id": workflow_id}).sort([("at", 1)])
        return [
            entry for each in await found.to_list() for entry in each["entries"] if entry["workflow_id"] == workflow_id
        ]

    async def observed(self, workflow_id: Any, **expected: Any) -> dict[str, Any]:
        """Return what the daemon answered in a workflow's document once it says what is expected."""

        async def look() -> dict[str, Any]:
            document = await self.workflows.find_one({"_id": workflow_id}) or {}
            found: dict[str, Any] = document.get("observed") or {}
            assert {key: found.get(key) for key in expected} == expected, found
            return found

        return await committed(self.database, look)


@asynccontextmanager
async def running_bench(uri: str, database: AsyncDatabase[dict[str, Any]], **settings: Any) -> AsyncIterator[Bench]:
    """Yield a bench whose daemon reads the stream; the presets are not in the way."""
    async with running_daemon(uri, database.name, **settings) as daemon:
        bench = Bench(database, daemon)
        marking = workflow_document(created("contact"), _id=_MARKER, conditions=[_is_marker()])
        await reading(daemon)
        if await bench.workflows.find_one({"_id": _MARKER}) is None:
            await bench.workflows.delete_many({"_id": {"$in": [preset.id for preset in load_presets()]}})
            await bench.workflows.insert_one(marking)
        yield bench


def _is_marker() -> dict[str, Any]:
    return {"field": "is_marker", "operator": "equals", "value": True}
