"""Executions as people see them: lists, one as a whole, the decisions on what did not run, and commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.admin.identifier import id_text, object_id, readings
from daemon.admin.problem import Conflict, NotFound
from daemon.executions.command import Command, CommandRefused, Do
from daemon.executions.intervention import Interventions
from daemon.executions.status import Status, StepStatus

_LISTED: Final = {
    "workflow_id": 1,
    "workflow_name": 1,
    "triggered_by_entity_type": 1,
    "triggered_by_entity_id": 1,
    "status": 1,
    "reason": 1,
    "triggered_at": 1,
    "due_at": 1,
    "completed_at": 1,
    "failed_steps": 1,
    "actions_count": {"$size": {"$cond": [{"$isArray": "$actions_executed"}, "$actions_executed", []]}},
}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions to list; None means any. ``before`` is the id after which the page before ended."""

    workflow_id: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    status: Status | None = None
    is_uncertain: bool = False
    before: str | None = None


class ExecutionAdmin:
    """Reads executions and decisions, and passes commands on."""

    def __init__(self, database: AsyncDatabase[Document], names: Collections, interventions: Interventions) -> None:
        self._executions = database[names.executions]
        self._decisions = database[names.decisions]
        self._interventions = interventions

    async def of_workflow(self, workflow_id: Any, limit: int) -> list[Document]:
        """Return ``{id, status, triggered_at, actions_count}`` of a workflow's executions, newest first."""
        return [
            {
                "id": id_text(item["id"]),
                "status": str(item["status"]),
                "triggered_at": item["triggered_at"] if isinstance(item["triggered_at"], datetime) else None,
                "actions_count": item["actions_count"],
            }
            for item in await self.newest(workflow_id, limit)
        ]

    async def newest(self, workflow_id: Any, limit: int) -> list[Document]:
        """Return a workflow's executions as ``page`` lists them, newest first."""
        found = self._executions.find({"workflow_id": workflow_id}, _LISTED).sort("seq", -1).limit(limit)
        return [_item(document) async for document in found]

    async def page(self, wanted: Filter, limit: int) -> tuple[list[Document], str | None]:
        """Return one page of executions, newest first to the second, and the id to go on after, if there are more."""
        found = self._executions.find(_query(wanted), _LISTED).sort("_id", -1).limit(limit + 1)
        items = [_item(document) async for document in found]
        return items[:limit], str(items[limit - 1]["id"]) if len(items) > limit else None

    async def show(self, execution_id: str) -> Document:
        """Return the whole document; raise NotFound."""
        document = await self._executions.find_one({"_id": object_id(execution_id, "execution_id")})
        if document is None:
            raise NotFound(f"execution {execution_id}: there is none with this id; ended ones are kept for a while")
        return document

    async def command(
        self, execution_id: str, do: Do, outcome: StepStatus | None = None, step: int | None = None
    ) -> Status:
        """Carry out a command and return the new status; raise NotFound, or Conflict with the reason."""
        document = await self.show(execution_id)
        try:
            return await self._interventions.perform(Command(document["_id"], do, outcome, step))
        except CommandRefused as refused:
            raise Conflict(str(refused)) from refused

    async def decisions(
        self, entity_id: str, entity_type: str | None = None, workflow_id: str | None = None, limit: int = 20
    ) -> list[Document]:
        """Return why candidates for one entity did not run, newest first."""
        wanted: Document = {"entity_id": {"$in": readings(entity_id)}}
        if entity_type is not None:
            wanted["entity_type"] = entity_type
        if workflow_id is not None:
            wanted["entries.workflow_id"] = {"$in": readings(workflow_id)}
        return await self._decisions.find(wanted).sort("at", -1).limit(limit).to_list()


def _query(wanted: Filter) -> Document:
    query: Document = {}
    if wanted.workflow_id is not None:
        query["workflow_id"] = {"$in": readings(wanted.workflow_id)}
    if wanted.entity_type is not None:
        query["triggered_by_entity_type"] = wanted.entity_type
    if wanted.entity_id is not None:
        query["triggered_by_entity_id"] = {"$in": readings(wanted.entity_id)}
    if wanted.status is not None:
        query["status"] = wanted.status
    if wanted.is_uncertain:
        query |= {"status": Status.FAILED, "actions_executed.status": StepStatus.UNCERTAIN}
    if wanted.before is not None:
        query["_id"] = {"$lt": object_id(wanted.before, "before")}
    return query


def _item(document: Mapping[str, Any]) -> Document:
    return {
        "id": document["_id"],
        "workflow_id": document.get("workflow_id"),
        "workflow_name": document.get("workflow_name"),
        "entity_type": document.get("triggered_by_entity_type"),
        "entity_id": document.get("triggered_by_entity_id"),
        **{name: document.get(name) for name in ("status", "reason", "triggered_at", "due_at", "completed_at")},
        "actions_count": document.get("actions_count", 0),
    }
