"""Commit what the stream brought: executions, enrollments, decisions, versions and the checkpoint, all or nothing.

One transaction per batch, fenced by a compare-and-set on the checkpoint: a stale reader's batch aborts whole. A batch
that fails for a reason that waiting does not mend is split down to the change at fault, which is recorded and passed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, PyMongoError

from config.error import LeaseLost
from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event as LogEvent
from daemon.executions.entity import EntityReader
from daemon.executions.job import Job, job_from
from daemon.metrics import Metrics
from daemon.mongo.failure import is_transient
from daemon.mongo.refusal import refusal_text
from daemon.mongo.transaction import in_transaction
from daemon.stream.admission import Admission
from daemon.stream.checkpoint import CHECKPOINT_ID, Checkpoint
from daemon.stream.decision import decision_document, log_refusal, skipped_change_document
from daemon.stream.decode import Event
from daemon.stream.entrant import Entrant, execution_document
from daemon.stream.manual import Answer, Manual, ManualRun
from daemon.stream.plan import Candidate, Current, Plan, Planner, missing_documents
from daemon.stream.version import version_writes
from daemon.stream.workflow_index import WorkflowIndex
from daemon.telemetry import emit
from rules.explain import Refusal
from rules.head import Head
from rules.identity import bson_bytes

_TIMEOUT_S: Final = 30.0
_DUPLICATE_KEY: Final = 11000


@dataclass(slots=True)
class Writes:
    """Everything of one transaction but the checkpoint, by collection."""

    executions: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    enrollments: list[ReplaceOne[dict[str, Any]]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    versions: list[UpdateOne | InsertOne[dict[str, Any]]] = field(default_factory=list)
    answers: list[UpdateOne] = field(default_factory=list)
    extra: list[tuple[str, list[UpdateOne]]] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    refusals: list[tuple[Refusal, str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction brought: for the lanes, the switches and the log."""

    jobs: Sequence[Job]
    heads: Sequence[Head]
    commit: int


class Intake:
    """Takes events in, in order, under the checkpoint. ``load`` must have been called once."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        index: WorkflowIndex,
        planner: Planner,
        manual: Manual,
        admission: Admission,
        entities: EntityReader,
        clock: ServerClock,
        metrics: Metrics,
        *,
        lanes: int,
        time_scale: float,
        on_commit: Callable[[Committed], None],
    ) -> None:
        """``on_commit`` is told of every transaction that was committed, in order."""
        self._database = database
        self._names = names
        self._index = index
        self._planner = planner
        self._manual = manual
        self._admission = admission
        self._entities = entities
        self._clock = clock
        self._metrics = metrics
        self._lanes = lanes
        self._time_scale = time_scale
        self._on_commit = on_commit
        self._checkpoint: Checkpoint | None = None
        self.lock = asyncio.Lock()  # one transaction at a time: the stream's or a sweep's

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint as it was last committed or loaded."""
        if self._checkpoint is None:
            raise RuntimeError("intake has no checkpoint: load it first")
        return self._checkpoint

    async def load(self, checkpoint: Checkpoint) -> None:
        """Start from ``checkpoint``, with the workflows as they are stored."""
        await self._index.load(self._database[self._names.versions])
        self._checkpoint = checkpoint

    async def take(self, events: Sequence[Event], token: Mapping[str, Any] | None) -> list[Event]:
        """Commit ``events`` in as many transactions as they need; return those about collections and the database.

        ``token`` is the position after all of them where it is further than the last event's. Raise LeaseLost when
        another reader has moved the checkpoint, and the driver's error when the database does not answer: then
        nothing may be assumed, and everything is to be loaded again.
        """
        async with self.lock:
            structures: list[Event] = []
            remaining = list(events)
            while remaining:
                current = await self._current(remaining)
                plan = self._planner.plan(remaining, self.checkpoint.done, self.checkpoint.causes, current)
                remaining = await self._settle(plan, remaining, token)
                structures += plan.structures
            return structures

    async def save(self, token: Mapping[str, Any]) -> None:
        """Move the checkpoint to a position before which nothing happened that concerns us."""
        async with self.lock:
            await self._commit(Writes(), replace(self.checkpoint, token=token))

    async def take_entrants(
        self, entrants: Sequence[Entrant], write: Callable[[int, Sequence[Refusal]], list[tuple[str, list[UpdateOne]]]]
    ) -> int:
        """Commit the entrants of one page of a sweep, with what ``write`` adds to the transaction.

        ``write`` is given the number of entrants admitted and the refusals of the others. Return that number. Must
        be called with ``lock`` held; raises as ``take`` does.
        """
        writes = Writes()
        await self._admission.load(entrants)
        checkpoint = self.checkpoint
        now = max(self._clock.now(), checkpoint.due_floor)
        seq, refusals = checkpoint.seq, []
        for entrant in entrants:
            refusal = self._admission.refusal(entrant)
            if refusal is not None:
                refusals.append(refusal)
                continue
            seq += 1
            self._add_execution(writes, entrant, seq, now)
        writes.enrollments = self._admission.writes()
        writes.extra = write(len(writes.executions), refusals)
        await self._commit(writes, replace(checkpoint, seq=seq, due_floor=now))
        return len(writes.executions)

    async def _current(self, events: Sequence[Event]) -> Current:
        """Read what the events do not carry: entities and workflows without after-image, entities of requests."""
        entities, workflows = missing_documents(events)
        entities += self._manual.entities_of(events)
        found = await self._entities.read(entities) if entities else {}
        documents: dict[bytes, Mapping[str, Any]] = {}
        if workflows:
            async for document in self._database[self._names.workflows].find({"_id": {"$in": workflows}}):
                documents[bson_bytes(document["_id"])] = document
        return Current(found, documents)

    async def _settle(self, plan: Plan, events: list[Event], token: Mapping[str, Any] | None) -> list[Event]:
        """Commit a plan; return the events that are left. Split it where the database refuses it."""
        remaining = events[plan.consumed :]
        try:
            writes = await self._writes(plan)
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_MATCH)
            await self._commit(writes, self._moved(plan, writes, token if not remaining else None))
        except LeaseLost:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            return await self._bisect(events[: max(plan.consumed, 1)], events[max(plan.consumed, 1) :], error)
        for refusal, entity_type, entity_id in writes.refusals:
            log_refusal(refusal, entity_type, entity_id)
        return remaining

    async def _bisect(self, failed: list[Event], rest: list[Event], error: Exception) -> list[Event]:
        """Take the failed events one half at a time; pass over the one that fails alone, and record it."""
        await self._index.load(self._database[self._names.versions])
        if len(failed) == 1:
            await self._pass_over(failed[0], error)
            return rest
        middle = len(failed) // 2
        for half in (failed[:middle], failed[middle:]):
            left = half
            while left:
                current = await self._current(left)
                plan = self._planner.plan(left, self.checkpoint.done, self.checkpoint.causes, current)
                left = await self._settle(plan, left, None)
        return rest

    async def _pass_over(self, event: Event, error: Exception) -> None:
        """Record that a change could not be taken in, and move on: it must not stop the others (promise 8)."""
        text = refusal_text(error) if isinstance(error, PyMongoError) else type(error).__name__
        entity_type = event.change.entity_type if event.change is not None else event.collection
        emit(LogEvent.INTAKE_ERROR, entity_type=entity_type, entity_id=event.document_id, workflow_id=None, error=error)
        writes = Writes(decisions=[skipped_change_document(event, entity_type, text)])
        await self._commit(
            writes,
            replace(
                self.checkpoint,
                token={"_data": event.token},
                cluster_time=event.cluster_time,
                done=0,
                causes=self.checkpoint.causes.within(event.transaction),
            ),
        )

    async def _writes(self, plan: Plan) -> Writes:
        """Return the writes of a plan: who enters, numbered in order, and why the others do not."""
        writes = Writes()
        entrants = [entrant for item in plan.items for entrant in _entrants(item)]
        await self._admission.load(entrants)
        now = max(self._clock.now(), self.checkpoint.due_floor)
        seq = self.checkpoint.seq
        for item in plan.items:
            match item:
                case Candidate():
                    seq = self._add_candidate(writes, item, seq, now)
                case Head():
                    self._add_head(writes, item.at(seq), now)
                case ManualRun():
                    seq = self._add_manual(writes, item, seq, now)
                case Answer():
                    writes.answers.append(_answer(item.request_id, {"status": "refused", "reason": item.reason}, now))
        writes.enrollments = self._admission.writes()
        return writes

    def _add_candidate(self, writes: Writes, item: Candidate, seq: int, now: datetime) -> int:
        refusals = list(item.refusals)
        for entrant in item.entrants:
            refusal = self._admission.refusal(entrant)
            if refusal is not None:
                refusals.append(refusal)
                continue
            seq += 1
            self._add_execution(writes, entrant, seq, now)
        if refusals:
            writes.decisions.append(decision_document(item.change, refusals, item.chunk))
            change = item.change
            writes.refusals += [(refusal, change.entity_type, change.entity_id) for refusal in refusals]
        return seq

    def _add_manual(self, writes: Writes, item: ManualRun, seq: int, now: datetime) -> int:
        refusal = self._admission.refusal(item.entrant)
        if refusal is not None:
            writes.answers.append(_answer(item.request_id, {"status": "refused", "reason": str(refusal.reason)}, now))
            return seq
        self._add_execution(writes, item.entrant, seq + 1, now)
        answer = {"status": "accepted", "execution_id": item.entrant.execution_id}
        writes.answers.append(_answer(item.request_id, answer, now))
        return seq + 1

    def _add_head(self, writes: Writes, head: Head, now: datetime) -> None:
        self._index.put(head)
        writes.heads.append(head)
        writes.versions += version_writes(head, self.checkpoint.commit + 1, now)

    def _add_execution(self, writes: Writes, entrant: Entrant, seq: int, now: datetime) -> None:
        document = execution_document(entrant, seq, now=now, lanes=self._lanes, time_scale=self._time_scale)
        writes.executions.append(document)
        writes.jobs.append(job_from(document, entrant.workflow))

    def _moved(self, plan: Plan, writes: Writes, token: Mapping[str, Any] | None) -> Checkpoint:
        """Return the checkpoint after a plan: the last whole event, and how much of the next one is done."""
        checkpoint = self.checkpoint
        now = max(self._clock.now(), checkpoint.due_floor)
        moved = replace(
            checkpoint, seq=checkpoint.seq + len(writes.executions), done=plan.done, causes=plan.causes, due_floor=now
        )
        if plan.last is not None:
            moved = replace(moved, token={"_data": plan.last.token}, cluster_time=plan.last.cluster_time)
        return replace(moved, token=token) if token is not None and not plan.done else moved

    async def _commit(self, writes: Writes, moved: Checkpoint) -> None:
        before = self.checkpoint
        moved = replace(moved, commit=before.commit + 1)
        while True:
            try:
                await in_transaction(
                    self._database.client, partial(self._write, writes, before.commit, moved), timeout_s=_TIMEOUT_S
                )
                break
            except BulkWriteError as error:
                if not _is_duplicate(error) or not await self._drop_replayed(writes):
                    raise
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_INTAKE)
        self._checkpoint = moved
        self._metrics.executions += len(writes.executions)
        self._metrics.refusals += len(writes.refusals)
        self._on_commit(Committed(writes.jobs, writes.heads, moved.commit))

    async def _write(self, writes: Writes, expected: int, moved: Checkpoint, session: AsyncClientSession) -> None:
        state = self._database[self._names.state]
        document = moved.to_document(self._clock.now())
        result = await state.replace_one({"_id": CHECKPOINT_ID, "commit": expected}, document, session=session)
        if result.matched_count != 1:
            raise LeaseLost("another reader has moved the checkpoint")
        if writes.versions:
            await self._database[self._names.versions].bulk_write(writes.versions, session=session)
        for name, documents in (
            (self._names.executions, writes.executions),
            (self._names.decisions, writes.decisions),
        ):
            if documents:
                await self._database[name].insert_many(documents, ordered=False, session=session)
        if writes.enrollments:
            await self._database[self._names.enrollments].bulk_write(writes.enrollments, ordered=False, session=session)
        if writes.answers:
            await self._database[self._names.requests].bulk_write(writes.answers, ordered=False, session=session)
        for name, operations in writes.extra:
            await self._database[name].bulk_write(operations, session=session)
        if CRASH_AT is not None:
            reach(CrashPoint.IN_INTAKE)

    async def _drop_replayed(self, writes: Writes) -> bool:
        """Leave out what an earlier reading of the same events stored; return whether there was anything."""
        dropped = 0
        for name, documents in (
            (self._names.executions, writes.executions),
            (self._names.decisions, writes.decisions),
        ):
            ids = [document["_id"] for document in documents]
            found = {each["_id"] async for each in self._database[name].find({"_id": {"$in": ids}}, {"_id": 1})}
            documents[:] = [document for document in documents if document["_id"] not in found]
            dropped += len(found)
            if name == self._names.executions:
                writes.jobs[:] = [job for job in writes.jobs if job.execution_id not in found]
        return dropped > 0


def _entrants(item: object) -> Sequence[Entrant]:
    match item:
        case Candidate():
            return item.entrants
        case ManualRun():
            return [item.entrant]
    return ()


def _answer(request_id: Any, answer: Mapping[str, Any], now: datetime) -> UpdateOne:
    return UpdateOne({"_id": request_id}, {"$set": {**answer, "answered_at": now}})


def _is_duplicate(error: BulkWriteError) -> bool:
    failures = (error.details or {}).get("writeErrors") or []
    return any(failure.get("code") == _DUPLICATE_KEY for failure in failures)
