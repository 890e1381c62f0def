"""Find the creations that were lost in a gap, and enrol the entities.

An entity is found by the time in its ObjectId. A creation that ran is skipped, so that the search can be repeated after
a crash (FAILURES.md, "oplog overrun").
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.settings import Collections
from daemon.mongo.codec import raw_collection
from daemon.mongo.heavy import opened
from daemon.mongo.snapshot import SNAPSHOT_GONE, snapshot
from daemon.slice import TimeSlice
from daemon.stream.change_judge import ChangeJudge, CostlyWorkflows
from daemon.stream.entrant import Entrant, entrant_of
from daemon.stream.intake import Intake
from daemon.stream.writes import Operations
from daemon.versions.workflow_index import WorkflowIndex
from rules.change import Change, JudgedOn, Kind
from rules.explain import GIVEN_UP, Refusal
from rules.identity import bson_bytes
from rules.workflow import Workflow, WorkflowStatus

PAGE: Final = 500  # entrants of one transaction
_CLIENT_CLOCK: Final = timedelta(minutes=1)  # how far ahead the clock that made an ObjectId may be
_Pair = tuple[bytes, bytes]  # workflow, entity


class Rescan:
    """Searches for lost creations. Only for the replica that reads, before it reads on."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        entities: Mapping[str, str],
        index: WorkflowIndex,
        intake: Intake,
        *,
        max_depth: int,
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._names = names
        self._executions = database[names.executions]
        self._entities = dict(sorted(entities.items()))
        self._index = index
        self._intake = intake
        self._max_depth = max_depth
        self._costly = CostlyWorkflows()

    async def finish(self, gap: Mapping[str, Any]) -> None:
        """Take in the lost creations of ``gap``, from where the search was cut off."""
        rescan: dict[str, Any] = dict(gap["rescan"])
        for entity_type, collection in self._entities.items():
            if rescan["entity_type"] is not None and entity_type < rescan["entity_type"]:
                continue
            after = rescan["after"] if entity_type == rescan["entity_type"] else None
            rescan |= {"entity_type": entity_type, "after": after}
            async for page in self._created(collection, gap["from"], rescan["at"], after):
                rescan["after"] = page[-1]["_id"]
                rescan["found"] += len(page)
                await self._enqueue(gap["_id"], await self._lost(entity_type, page), rescan)
            others = {"_id": {"$not": {"$type": "objectId"}}}
            rescan["not_recoverable"] += await self._database[collection].count_documents(others)
        await self._enqueue(gap["_id"], [], {**rescan, "is_done": True})

    async def _created(
        self, collection: str, since: datetime, at: Timestamp, after: ObjectId | None
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Yield, in pages, the entities that were created since, as they were at ``at``: later ones are in the stream.

        Where the server does not keep that time any more, those of the seconds before ``at``, as they are now.
        """
        low = {"$gt": after} if after is not None else {"$gte": ObjectId.from_datetime(since)}
        until = datetime.fromtimestamp(at.time, UTC)
        ids = {**low, "$lt": ObjectId.from_datetime(until + _CLIENT_CLOCK)}
        try:
            async for page in snapshot(self._database, collection, at, filter={"_id": ids}, sort={"_id": 1}):
                yield page
        except OperationFailure as error:
            if error.code not in SNAPSHOT_GONE:
                raise
            ids = {**low, "$lt": ObjectId.from_datetime(until)}
            some: list[Mapping[str, Any]] = []
            async for entity in raw_collection(self._database, collection).find({"_id": ids}).sort("_id", 1):
                some.append(opened(entity.raw))
                if len(some) == PAGE:
                    yield some
                    some = []
            if some:
                yield some

    async def _lost(self, entity_type: str, page: Sequence[Mapping[str, Any]]) -> list[Entrant]:
        """Return the entrants that the creations of a page should have made and have not."""
        ids = [entity["_id"] for entity in page]
        ran: set[_Pair] = set()
        found = self._executions.find({"triggered_by_entity_id": {"$in": ids}}, _PAIR_FIELDS)
        async for run in found:
            if run["triggered_by_entity_type"] == entity_type:
                ran.add((bson_bytes(run["workflow_id"]), bson_bytes(run["triggered_by_entity_id"])))
        entrants = []
        turn = TimeSlice()
        for entity in page:
            change = _creation(entity_type, entity)
            judge = ChangeJudge(change, self._costly, self._max_depth)
            for workflow, version in self._index.candidates(change):
                if (bson_bytes(workflow.id), bson_bytes(entity["_id"])) not in ran:
                    entrants += _judged(workflow, version.status, change, judge)
                    await turn.give_way()
        return entrants

    async def _enqueue(self, gap: str, entrants: Sequence[Entrant], rescan: dict[str, Any]) -> None:
        """Commit entrants, and the progress with the last of them."""
        for first in range(0, max(len(entrants), 1), PAGE):
            is_last = first + PAGE >= len(entrants)

            def write(enqueued: int, *_: object, is_last: bool = is_last) -> Operations:
                rescan["enqueued"] += enqueued
                progress = UpdateOne({"_id": gap}, {"$set": {"rescan": dict(rescan)}})
                return [(self._names.state, [progress])] if is_last else []

            async with self._intake.lock:
                await self._intake.take_entrants(entrants[first : first + PAGE], write)


_PAIR_FIELDS: Final = {"workflow_id": 1, "triggered_by_entity_type": 1, "triggered_by_entity_id": 1}


def _creation(entity_type: str, entity: Mapping[str, Any]) -> Change:
    """Return the creation of an entity as a change, with the time of its id and the entity as it is now."""
    entity_id: ObjectId = entity["_id"]
    at = entity_id.generation_time
    return Change(
        entity_type,
        entity_id,
        Kind.CREATED,
        frozenset(),
        None,
        entity,
        at,
        f"rescan/{entity_type}/{entity_id}",
        (int(at.timestamp()), 0),
        judged_on=JudgedOn.CURRENT,
    )


def unbegun(at: Timestamp) -> dict[str, Any]:
    """Return the progress of a search that has not begun, for the entities at the operation time ``at``."""
    counts = {"found": 0, "enqueued": 0, "not_recoverable": 0}
    return {"at": at, "entity_type": None, "after": None, **counts, "is_done": False}


def _judged(workflow: Workflow, status: WorkflowStatus, change: Change, judge: ChangeJudge) -> list[Entrant]:
    """Return the entrant that a creation makes, if any; a defect keeps out its own entity only (promise 8)."""
    verdict = judge.judge(workflow, status, explains=False)
    if verdict is None:
        return [entrant_of(workflow, change)]
    if isinstance(verdict, Refusal) and verdict.reason in GIVEN_UP:
        return [replace(entrant_of(workflow, change), problem=verdict)]
    return []
