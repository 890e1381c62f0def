"""The writes of one intake transaction, and how they are carried out."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from actions.outcome import Insert
from config.error import LeaseLost
from config.settings import Collections
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.executions.command import CommandRefused
from daemon.executions.counter import counter_updates
from daemon.executions.intervention import Interventions
from daemon.executions.job import Job
from daemon.executions.status import Status
from daemon.stream.checkpoint import CHECKPOINT_ID, Checkpoint
from daemon.stream.manual import ExecutionRequest
from rules.explain import Refusal
from rules.version import Version

_DUPLICATE_KEY: Final = 11000
Operations = list[tuple[str, list[UpdateOne]]]  # by collection


@dataclass(slots=True)
class Writes:
    """The writes of one transaction, without the checkpoint, and the data that the daemon needs after the commit.

    ``jobs`` are the executions that are queued; ``ended`` holds, by execution, the job of those that end in this
    transaction and the documents that they insert.
    """

    executions: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    ended: dict[ObjectId, tuple[Job, tuple[Insert, ...]]] = field(default_factory=dict)
    enrollments: list[ReplaceOne[dict[str, Any]]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    versions: list[UpdateOne | InsertOne[dict[str, Any]]] = field(default_factory=list)
    answers: list[UpdateOne] = field(default_factory=list)
    commands: list[ExecutionRequest] = field(default_factory=list)
    extra: Operations = field(default_factory=list)
    new_versions: list[Version] = field(default_factory=list)
    rewritten: list[Any] = field(default_factory=list)
    refusals: list[tuple[Refusal, str, Any]] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        """Whether there are only decisions, which may wait."""
        work = (self.executions, self.ended, self.enrollments, self.versions, self.answers, self.commands)
        return not any((*work, self.extra, self.new_versions, self.rewritten))


class WritesStore:
    """Writes inside transactions, fenced by the checkpoint."""

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], names: Collections, interventions: Interventions
    ) -> None:
        self._database = database
        self._names = names
        self._interventions = interventions

    async def write(
        self, writes: Writes, expected: int, moved: Checkpoint, now: datetime, session: AsyncClientSession
    ) -> None:
        """Move the checkpoint from commit ``expected``, and write; raise LeaseLost if another reader has moved it."""
        result = await self._database[self._names.state].replace_one(
            {"_id": CHECKPOINT_ID, "commit": expected}, moved.to_document(now), session=session
        )
        if result.matched_count != 1:
            raise LeaseLost("another reader has moved the checkpoint")
        if writes.versions:
            await self._database[self._names.versions].bulk_write(writes.versions, session=session)
        for collection, documents in self._inserts(writes).items():
            await self._database[collection].insert_many(documents, ordered=False, session=session)
        for collection, operations in self._updates(writes, now):
            await self._database[collection].bulk_write(operations, ordered=False, session=session)
        for request in writes.commands:
            await self._answer(request, now, session)
        if CRASH_AT is not None:
            reach(CrashPoint.IN_INTAKE)

    async def drop_replayed(self, writes: Writes) -> bool:
        """Leave out documents that an earlier reading of the same events stored; return whether there were any."""
        executions = await self._stored(self._names.executions, writes.executions)
        decisions = await self._stored(self._names.decisions, writes.decisions)
        writes.executions[:] = [document for document in writes.executions if document["_id"] not in executions]
        writes.decisions[:] = [document for document in writes.decisions if document["_id"] not in decisions]
        writes.jobs[:] = [job for job in writes.jobs if job.execution_id not in executions]
        for execution_id in executions:
            writes.ended.pop(execution_id, None)
        return bool(executions or decisions)

    async def _answer(self, request: ExecutionRequest, now: datetime, session: AsyncClientSession) -> None:
        """Apply a command and answer its request, in the same transaction."""
        answer: dict[str, Any] = {"status": "accepted", "execution_id": request.command.execution_id}
        try:
            await self._interventions.apply(request.command, session)
        except CommandRefused as refused:
            answer = {"status": "refused", "reason": str(refused)}
        await self._database[self._names.requests].update_one(
            {"_id": request.request_id}, {"$set": {**answer, "answered_at": now}}, session=session
        )

    async def _stored(self, collection: str, documents: Sequence[dict[str, Any]]) -> set[Any]:
        ids = [document["_id"] for document in documents]
        return {found["_id"] async for found in self._database[collection].find({"_id": {"$in": ids}}, {"_id": 1})}

    def _inserts(self, writes: Writes) -> dict[str, list[dict[str, Any]]]:
        """Return the documents to insert by collection, without the collections that get none."""
        inserts: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        inserts[self._names.executions] = writes.executions
        inserts[self._names.decisions] = writes.decisions
        for _, made in writes.ended.values():
            for insert in made:
                inserts[insert.collection].append(dict(insert.document))
        return {collection: documents for collection, documents in inserts.items() if documents}

    def _updates(self, writes: Writes, now: datetime) -> list[tuple[str, Sequence[Any]]]:
        updates: list[tuple[str, Sequence[Any]]] = [
            (self._names.enrollments, writes.enrollments),
            (self._names.requests, writes.answers),
            (self._names.state, _counts(writes, now)),
            *writes.extra,
        ]
        return [(collection, operations) for collection, operations in updates if operations]


def is_duplicate(error: BulkWriteError) -> bool:
    """Return whether a write met a document with its key."""
    failures = (error.details or {}).get("writeErrors") or []
    return any(failure.get("code") == _DUPLICATE_KEY for failure in failures)


def _counts(writes: Writes, now: datetime) -> list[UpdateOne]:
    """Return the counters of the executions that end in this transaction: all of them complete."""
    return counter_updates(((job.workflow_id, "intake", Status.COMPLETED) for job, _ in writes.ended.values()), now)
