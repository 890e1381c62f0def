"""Show on the board what the daemon stores: executions that start, wait and end, and decisions against executions.

The watcher uses a change stream of its own on the daemon's collections, as a dashboard would.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from config.collection_names import Collections
from daemon.demo.board import Board, Topic
from daemon.demo.history import NOBODY, NameOf, run_of, step_text
from daemon.executions.status import ENDED, QUEUED
from daemon.service import Background
from rules.identity import bson_bytes

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


class Watcher:
    """Tells each state of each execution once, each decision, and each answer in a workflow."""

    def __init__(
        self,
        database: "AsyncIOMotorDatabase[dict[str, Any]]",
        names: Collections,
        name_of: NameOf,
        board: Board,
        *,
        on_failure: Callable[[str], None],
    ) -> None:
        """``on_failure`` is told when nothing is watched any more though it should be."""
        self._database = database
        self._names = names
        self._name_of = name_of
        self._board = board
        self._on_failure = on_failure
        self._last: dict[bytes, object] = {}  # the state last told, of what has not ended

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Tell everything that is stored from now on, meanwhile."""
        watched = [self._names.executions, self._names.decisions, self._names.requests, self._names.workflows]
        pipeline = [{"$match": {"ns.coll": {"$in": watched}, "operationType": {"$in": ["insert", "update"]}}}]
        async with self._database.watch(pipeline, full_document="updateLookup") as stream:
            await stream.try_next()  # opens the stream: from here on nothing is missed
            following = Background("demo watcher", partial(self._follow, stream))
            following.watch(self._on_failure)
            await following.start()
            try:
                yield
            finally:
                await following.stop()

    async def _follow(self, changes: AsyncIterator[Mapping[str, Any]]) -> None:
        async for change in changes:
            if change.get("fullDocument") is not None:  # None: deleted since
                self._tell(change["ns"]["coll"], change["fullDocument"])

    def _tell(self, collection: str, document: Mapping[str, Any]) -> None:
        if collection == self._names.executions:
            self._tell_execution(document)
        elif collection == self._names.decisions:
            self._tell_decision(document)
        elif collection == self._names.requests:
            self._tell_answer(document)
        elif document.get("observed") is not None:
            self._tell_observed(document)

    def _tell_execution(self, document: Mapping[str, Any]) -> None:
        state = (document["status"], document["at"])
        if not self._is_new(document["_id"], state):
            return
        run = run_of(document, self._name_of)
        who = f"{run.workflow} for {run.entity}"
        if document["status"] in ENDED:
            self._last.pop(bson_bytes(document["_id"]), None)
            self._board.tell(Topic.RUN, str(run))
        elif document["status"] in QUEUED and _seconds_until(document.get("due_at")) > 0.2:
            done = f"{step_text(document['actions_executed'][-1])}, " if document["actions_executed"] else ""
            self._board.tell(Topic.RUN, f"{who}: {done}waits {_seconds_until(document['due_at']):.1f} s")
        elif not document["actions_executed"]:
            self._board.tell(Topic.RUN, f"{who}: fired")

    def _tell_decision(self, document: Mapping[str, Any]) -> None:
        if document["kind"] == "sweep":
            text = f"{document['workflow_name']}: swept, {document['matched']} matched, {document['enqueued']} enqueued"
            self._board.tell(Topic.RUN, text)
            return
        if document["kind"] != "change":
            return
        entity = self._name_of(document["entity_type"], document["entity_id"])
        for entry in document["entries"]:
            why = ", ".join(_finding_text(finding) for finding in entry.get("conditions", ()))
            text = f"{entry.get('workflow_name', '?')} for {entity}: {entry['reason']}"
            self._board.tell(Topic.WHY_NOT, f"{text} ({why})" if why else text)

    def _tell_answer(self, document: Mapping[str, Any]) -> None:
        if "status" not in document or document["entity_id"] == NOBODY:
            return
        entity = self._name_of(document["entity_type"], document["entity_id"])
        why = f", {document['reason']}" if "reason" in document else ""
        topic = Topic.WHY_NOT if why else Topic.RUN
        self._board.tell(topic, f"a request for {entity} is {document['status']}{why}")

    def _tell_observed(self, document: Mapping[str, Any]) -> None:
        observed = document["observed"]
        if not self._is_new(document["_id"], (observed["state"], observed["error"])):
            return
        if observed["error"]:
            self._board.tell(Topic.WHY_NOT, f"{document['name']} is {observed['state']}: {observed['error']}")
        else:
            self._board.tell(Topic.RUN, f"{document['name']}: observed as {observed['state']}")

    def _is_new(self, document_id: Any, state: object) -> bool:
        key = bson_bytes(document_id)
        if self._last.get(key) == state:
            return False
        self._last[key] = state
        return True


def _seconds_until(at: datetime | None) -> float:
    if at is None:
        return 0.0
    return (at.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def _finding_text(finding: Mapping[str, Any]) -> str:
    found = finding.get("actual", "nothing")
    return f"{finding['field']} {finding['operator']} {finding['expected']}, found {found}"
