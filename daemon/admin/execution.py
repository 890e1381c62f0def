"""Executions for people: lists, one execution whole, the decisions against executions, and commands.

Every list is newest first: by ``seq``, which numbers executions in the order of their intake, then by ``_id``. A page
goes on exactly behind the last entry of the page before.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.admin.identifier import exactly, id_text, meant, readings
from daemon.admin.problem import Conflict, Malformed, NotFound
from daemon.admin.weight import SHOWN_BYTES, find_by_id, light, page_of
from daemon.executions.command import Command, CommandRefused, Do
from daemon.executions.intervention import Interventions
from daemon.executions.status import Status, StepStatus
from rules.value import date_at, milliseconds

NEWEST: Final = {"seq": -1, "_id": -1}
CURSOR_SCHEMA: Final = {"pattern": "^[0-9]{1,18}~[0-9a-f]{24}$"}  # cursors behind documents of the daemon
_LISTED: Final = {
    "workflow_id": 1,
    "seq": 1,
    **{name: light(name) for name in ("workflow_name", "triggered_by_entity_type", "status", "reason")},
    "triggered_by_entity_id": 1,
    **{name: light(name) for name in ("triggered_at", "due_at", "completed_at")},
    "actions_count": {"$size": {"$cond": [{"$isArray": "$actions_executed"}, "$actions_executed", []]}},
}
_CURSOR: Final = re.compile("(-?[0-9]{1,18})~(.+)", re.DOTALL)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions to list; None means any. ``before`` is the cursor that the page before ended with."""

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

    async def of_workflow(self, workflow_id: Any, limit: int) -> tuple[list[Document], str | None]:
        """Return ``{id, status, triggered_at, actions_count}`` of a workflow's executions, and as ``page`` a cursor."""
        found, following = await self._page({"workflow_id": exactly(workflow_id)}, limit)
        briefs = [
            {
                "id": id_text(item["id"]),
                "status": str(item["status"]),
                "triggered_at": item["triggered_at"] if isinstance(item["triggered_at"], datetime) else None,
                "actions_count": item["actions_count"],
            }
            for item in found
        ]
        return briefs, following

    async def newest(self, workflow_id: Any, limit: int) -> list[Document]:
        """Return a workflow's executions as ``page`` lists them, newest first."""
        found, _ = await self._page({"workflow_id": exactly(workflow_id)}, limit)
        return found

    async def page(self, wanted: Filter, limit: int) -> tuple[list[Document], str | None]:
        """Return one page of executions, and the cursor to go on from if there are more.

        A page of large documents ends before ``limit``; then, too, there are more.
        """
        return await self._page(await self._query(wanted), limit)

    async def show(self, execution_id: str) -> Document:
        """Return the whole document, cut where it is too large; raise NotFound."""
        document = await find_by_id(self._executions, execution_id)
        if document is None:
            raise NotFound(
                f"execution {execution_id[:80]}: there is none with this id; ended ones are kept for a while"
            )
        return document

    async def command(
        self, execution_id: str, do: Do, outcome: StepStatus | None = None, node: str | None = None
    ) -> Status:
        """Carry out a command and return the new status; raise NotFound, or Conflict with the reason."""
        document = await self.show(execution_id)
        try:
            return await self._interventions.perform(Command(document["_id"], do, outcome, node))
        except CommandRefused as refused:
            raise Conflict(str(refused)) from refused

    async def decisions(
        self,
        entity_id: str,
        entity_type: str | None = None,
        workflow_id: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> tuple[list[Document], str | None]:
        """Return the decisions against executions for one entity, newest first, and the cursor to go on from."""
        also: Document = {} if entity_type is None else {"entity_type": entity_type}
        wanted = {**also, "entity_id": exactly(await meant(self._decisions, "entity_id", entity_id, also))}
        if workflow_id is not None:
            which = await meant(self._decisions, "entries.workflow_id", workflow_id, wanted)
            wanted["entries.workflow_id"] = exactly(which)
        if before is not None:
            wanted = {"$and": [wanted, await self._behind_decision(before)]}
        pipeline: list[Document] = [
            {"$match": wanted},
            {"$project": {"at": 1}},  # sort small documents: decisions may be large, and many
            {"$sort": {"at": -1, "_id": -1}},
            {"$limit": limit + 1},
            {"$lookup": {"from": self._decisions.name, "localField": "_id", "foreignField": "_id", "as": "whole"}},
            {"$match": {"whole": {"$ne": []}}},
            {"$replaceWith": {"$first": "$whole"}},
        ]
        found, has_more = await page_of(self._decisions, pipeline, limit, SHOWN_BYTES)
        at = found[-1].get("at") if found else None
        position = milliseconds(at) if isinstance(at, datetime) else None
        return found, _cursor(position, found[-1]["_id"]) if has_more else None

    async def _page(self, query: Document, limit: int) -> tuple[list[Document], str | None]:
        pipeline: list[Document] = [{"$match": query}, {"$sort": NEWEST}, {"$project": _LISTED}]
        found, has_more = await page_of(self._executions, pipeline, limit)
        following = _cursor(found[-1].get("seq"), found[-1]["_id"]) if has_more else None
        return list(map(_item, found)), following

    async def _query(self, wanted: Filter) -> Document:
        query: Document = {}
        if wanted.entity_type is not None:
            query["triggered_by_entity_type"] = wanted.entity_type
        for field, given in (("triggered_by_entity_id", wanted.entity_id), ("workflow_id", wanted.workflow_id)):
            if given is not None:
                query[field] = exactly(await meant(self._executions, field, given, query))
        if wanted.status is not None:
            query["status"] = wanted.status
        if wanted.is_uncertain:
            query |= {"status": Status.FAILED, "actions_executed.status": StepStatus.UNCERTAIN}
        if wanted.before is not None:
            query = {"$and": [query, await self._behind(wanted.before)]}
        return query

    async def _behind(self, cursor: str) -> Document:
        """Return the query for executions behind a cursor, or behind the execution with an id."""
        if (parts := _CURSOR.fullmatch(cursor)) is not None:
            return _after("seq", int(parts[1]), readings(parts[2])[0])
        last = await self._executions.find_one({"_id": {"$in": readings(cursor)}}, {"seq": 1})
        if last is None:
            raise Malformed("before", "expected the `next` of a page, or the id of an execution that there is")
        return _after("seq", last.get("seq"), last["_id"])

    async def _behind_decision(self, cursor: str) -> Document:
        parts = _CURSOR.fullmatch(cursor)
        try:
            at = date_at(int(parts[1] if parts is not None else ""))
        except (ValueError, OverflowError) as error:
            raise Malformed("before", "expected what the page before named as the next") from error
        assert parts is not None
        return _after("at", at, readings(parts[2])[0])


def _cursor(position: Any, document_id: Any) -> str:
    text = id_text(document_id)
    return f"{position}~{text}" if isinstance(position, int) else text


def _after(field: str, value: Any, document_id: Any) -> Document:
    """Return the query for documents behind a position in descending order; those without a number come last."""
    is_later = {"$expr": {"$lt": ["$_id", {"$literal": document_id}]}}
    if value is None:
        return {field: None, **is_later}
    return {"$or": [{field: {"$lt": value}}, {field: value, **is_later}, {field: None}]}


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
