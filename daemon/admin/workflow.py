"""Workflows as admins see and change them: list, show, create, edit, switch, delete, validate.

Every edit is one transaction: it compares the tag that the admin last saw, so that no edit overwrites one that its
author has not seen, and it leaves the daemon's own keys alone.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from config.error import WorkflowError
from config.found import found
from daemon.admin.identifier import id_text, readings
from daemon.admin.problem import Changed, NotFound
from daemon.admin.weight import cut_bytes, find_by_id, find_exactly, light, page_of
from daemon.mongo.transaction import in_transaction
from daemon.versions.parsing import parsed_aside
from rules.limit import MOST_BYTES, check_limits
from rules.other_key import other_keys
from rules.version import Parse, digest_of
from rules.workflow import OWN_KEYS, Workflow, WorkflowStatus, status_of

_TIMEOUT_S: Final = 30.0
_COUNTERS: Final = {"execution_count": 0, "success_count": 0, "failure_count": 0}
_SUMMARY: Final = {
    **{name: light(name) for name in ("name", "status", "execution_count")},
    "observed": {name: light(f"observed.{name}", 4096) for name in ("state", "error")},
}
ANSWERS: Final = {
    WorkflowStatus.ACTIVE: "activated",
    WorkflowStatus.PAUSED: "paused",
    WorkflowStatus.DRAINING: "draining",
    WorkflowStatus.STOPPED: "stopped",
}

Document = dict[str, Any]


class WorkflowAdmin:
    """Reads and writes workflow documents on behalf of admins."""

    def __init__(self, database: AsyncDatabase[Document], names: Collections, parse: Parse) -> None:
        self._client = database.client
        self._workflows = database[names.workflows]
        self._parse = parse

    async def summaries(self, limit: int, after: str | None = None) -> tuple[list[Document], str | None]:
        """Return ``{id, name, status, state, error, execution_count}`` in the order of ids, and how to go on.

        ``status`` is that of the document, ``state`` the one that the daemon observed, None where it has not yet.

        ``after`` is the id of the last workflow of the page before; the second part of the answer is that of this
        page, None where no more follow. An id keeps its type, and ``after`` is its text. Other values of wrong types
        are shown as text, or as 0.
        """
        pipeline = [*behind(after), {"$sort": {"_id": 1}}, {"$project": _SUMMARY}]
        found, has_more = await page_of(self._workflows, pipeline, limit)
        summaries: list[Document] = [
            {
                "id": document["_id"],
                "name": shown_name(document),
                "status": str(document.get("status", WorkflowStatus.ACTIVE)),
                "state": _observed(document, "state"),
                "error": _observed(document, "error"),
                "execution_count": _count(document.get("execution_count")),
            }
            for document in found
        ]
        return summaries, id_text(summaries[-1]["id"]) if has_more else None

    async def named(self, name: str, limit: int) -> list[Any]:
        """Return the ids of at most ``limit`` workflows of this name."""
        found = self._workflows.find({"name": {"$eq": name}}, {"_id": 1}).sort("_id", 1).limit(limit)
        return [document["_id"] async for document in found]

    async def show(self, workflow_id: str) -> Document:
        """Return the document, cut where it is larger than any valid one; raise NotFound."""
        document = await find_by_id(self._workflows, workflow_id)
        if document is None:
            raise NotFound(f"workflow {workflow_id[:80]}: there is none with this id")
        return document

    async def compiled(self, workflow_id: str) -> tuple[Workflow, WorkflowStatus]:
        """Return the workflow as the document defines it now, and its status; raise NotFound or WorkflowError."""
        document = await self.show(workflow_id)
        _check_whole(document)
        return await self._parsed(document["_id"], document), status_of(document)

    async def create(self, document: Mapping[str, Any]) -> Any:
        """Insert a workflow and return its id; raise WorkflowError if it is none, and nothing is written."""
        checked = await self.checked(document)
        workflow_id = ObjectId()
        await self._workflows.insert_one({"_id": workflow_id, **checked, **_COUNTERS})
        return workflow_id

    async def replace(self, workflow_id: str, document: Mapping[str, Any], tag: str | None = None) -> Document:
        """Put a new definition in place and return it; without a ``status`` the switch stays as it is.

        The daemon's own keys are ignored, so that an answer can be sent back. ``tag`` is ``tag_of`` the document that
        this edit is based on. Raise Changed if it is another now,
        NotFound, or WorkflowError; then nothing is written.
        """

        def edit(before: Document) -> Document:
            kept = {"status": before["status"]} if "status" in before else {}
            return {**kept, **{key: value for key, value in document.items() if key not in OWN_KEYS}}

        return await self._edited(workflow_id, edit, tag)

    async def patch(self, workflow_id: str, patch: Mapping[str, Any], tag: str | None = None) -> Document:
        """Apply a JSON merge patch (RFC 7396) and return the new document; raise as ``replace`` does."""

        def edit(before: Document) -> Document:
            _check_whole(before)
            merged: Document = merge_patch({key: value for key, value in before.items() if key not in OWN_KEYS}, patch)
            merged.pop("_id", None)
            return merged

        if "_id" in patch:
            raise WorkflowError("_id", "expected no id: it cannot be changed")
        return await self._edited(workflow_id, edit, tag)

    async def delete(self, workflow_id: str, tag: str | None = None) -> None:
        """Delete a workflow, which stops it: waiting executions are cancelled. Raise NotFound or Changed."""
        document = await self.show(workflow_id)

        async def work(session: AsyncClientSession) -> None:
            before = await self._before(document["_id"], tag, session)
            await self._workflows.delete_one({"_id": before["_id"]}, session=session)

        await in_transaction(self._client, work, timeout_s=_TIMEOUT_S)

    async def switch(self, workflow_id: str, status: WorkflowStatus) -> str:
        """Set the status and return the word for what was done, ``activated`` for example; raise NotFound."""
        document = await self.show(workflow_id)
        result = await self._workflows.update_one({"_id": document["_id"]}, {"$set": {"status": status}})
        if not result.matched_count:
            raise NotFound(f"workflow {workflow_id[:80]}: it has just been deleted")
        return ANSWERS[status]

    async def checked(self, document: Mapping[str, Any]) -> Document:
        """Return the document to store, with its status; raise WorkflowError if it is no workflow."""
        for key in document:
            if key in OWN_KEYS or key in ("_id", "id"):
                raise WorkflowError(str(key), "expected no such key: the daemon writes it")
        check_limits({key: document[key] for key in other_keys(document)})
        await self._parsed(None, document)
        return {**document, "status": str(status_of(document))}

    async def _parsed(self, workflow_id: Any, document: Mapping[str, Any]) -> Workflow:
        """Return the workflow, parsed in a thread if it is large; raise WorkflowError."""
        found = await parsed_aside(self._parse, workflow_id, 0, document)
        if isinstance(found, WorkflowError):
            raise found
        return found

    def ignored(self, document: Mapping[str, Any]) -> list[str]:
        """Return the keys of a document that define nothing: they are stored, and belong to other programs."""
        return other_keys(document)

    async def _edited(self, workflow_id: str, edit: Callable[[Document], Document], tag: str | None) -> Document:
        document = await self.show(workflow_id)
        work = partial(self._store_edit, document["_id"], edit, tag)
        return await in_transaction(self._client, work, timeout_s=_TIMEOUT_S)

    async def _store_edit(
        self, workflow_id: Any, edit: Callable[[Document], Document], tag: str | None, session: AsyncClientSession
    ) -> Document:
        before = await self._before(workflow_id, tag, session)
        own = {key: value for key, value in before.items() if key in OWN_KEYS}
        after = {"_id": workflow_id, **await self.checked(edit(before)), **own}
        await self._workflows.replace_one({"_id": workflow_id}, after, session=session)
        return after

    async def _before(self, workflow_id: Any, tag: str | None, session: AsyncClientSession) -> Document:
        before = await find_exactly(self._workflows, workflow_id, session)
        if before is None:
            raise NotFound(f"workflow {id_text(workflow_id)[:80]}: it has just been deleted")
        if tag is not None and tag != tag_of(before):
            raise Changed("the workflow was changed since it was read: read it again, and repeat the edit")
        return before


def behind(after: str | None) -> list[Document]:
    """Return the stages that find the documents after an id, in the order of ids of all types."""
    if after is None:
        return []
    return [{"$match": {"$expr": {"$gt": ["$_id", {"$literal": readings(after)[0]}]}}}]


def _check_whole(document: Mapping[str, Any]) -> None:
    size = cut_bytes(document)
    if size is not None:
        raise WorkflowError("", f"expected at most {MOST_BYTES} bytes, found {size}")


def tag_of(document: Mapping[str, Any]) -> str:
    """Return the tag of a workflow document: a digest of its keys without those of the daemon."""
    return digest_of(document)


def shown_name(document: Mapping[str, Any]) -> str:
    """Return the name of a workflow document, as a text whatever its type."""
    name = document.get("name")
    return name if isinstance(name, str) else found(name)


def _observed(document: Mapping[str, Any], key: str) -> str | None:
    """Return a value of ``observed``, as a text whatever its type."""
    observed = document.get("observed")
    value = observed.get(key) if isinstance(observed, Mapping) else None
    return value if value is None or isinstance(value, str) else found(value)


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int) else 0


def merge_patch(target: Any, patch: Any) -> Any:
    """Return ``target`` with a JSON merge patch applied: null takes a key out, objects are merged, the rest set."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
