"""Commit what the stream brought: executions, enrollments, decisions, versions and the checkpoint, all or nothing.

One transaction per batch, fenced by a compare-and-set on the checkpoint: a stale reader's batch aborts whole. A batch
that fails for a reason that waiting does not mend is split down to the workflow at fault, which is recorded and passed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, PyMongoError

from config.error import CheckpointCorrupt, LeaseLost
from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event as LogEvent
from daemon.executions.entity import EntityReader
from daemon.executions.intervention import Interventions
from daemon.executions.job import Job
from daemon.metrics import Metrics
from daemon.mongo.codec import raw_collection
from daemon.mongo.failure import VAGUE_TRIES, is_forbidden, is_transient, is_vague
from daemon.mongo.heavy import opened
from daemon.mongo.refusal import refusal_text
from daemon.mongo.transaction import Transactions
from daemon.stream.batch import Batch, BatchStore, is_duplicate
from daemon.stream.caution import MOST_TRIES, Caution, ReaderDied
from daemon.stream.checkpoint import Checkpoint, cluster_time_of
from daemon.stream.decision import skipped_change_document
from daemon.stream.decode import Event, Subject
from daemon.stream.deferral import Deferral
from daemon.stream.enroller import Enroller, refused
from daemon.stream.entrant import Entrant
from daemon.stream.manual import Manual
from daemon.stream.own_document import readable
from daemon.stream.page_intake import PageIntake, Write, log_refusals
from daemon.stream.past import Past
from daemon.stream.plan import MAX_WRITES, Current, Plan, Planner, edits_in, missing_documents
from daemon.stream.workflow_index import WorkflowIndex
from daemon.telemetry import emit
from rules.explain import Reason
from rules.head import Head
from rules.identity import bson_bytes
from rules.workflow import Workflow

_TIMEOUT_S: Final = 30.0
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction brought: for the lanes, the switches and the log."""

    jobs: Sequence[Job]
    ended: Sequence[Job]
    heads: Sequence[Head]
    edits: Sequence[tuple[Head | None, Head]]  # the heads, each with the one before it
    rewritten: Sequence[Any]  # ids of workflows whose documents were written anew, with nothing new in them
    commit: int


class Intake:
    """Takes events in, in order, under the checkpoint. ``load`` must have been called once."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        index: WorkflowIndex,
        past: Past,
        planner: Planner,
        manual: Manual,
        enroller: Enroller,
        entities: EntityReader,
        interventions: Interventions,
        clock: ServerClock,
        metrics: Metrics,
        *,
        on_commit: Callable[[Committed], None],
        on_replayed: Callable[[], None],
    ) -> None:
        """``on_commit`` is told of every transaction that was committed, in order; ``on_replayed`` when the stream,
        after a reset into the past, is where it was before.
        """
        self._database = database
        self._names = names
        self._index = index
        self._planner = planner
        self._manual = manual
        self._enroller = enroller
        self._entities = entities
        self._clock = clock
        self._metrics = metrics
        self.caution = Caution(database[names.state], clock)
        self._store = BatchStore(database, names, interventions)
        self._on_commit = on_commit
        self._on_replayed = on_replayed
        self._past = past
        self._checkpoint: Checkpoint | None = None
        self._deferral = Deferral()
        self._vague = (-1, 0)  # how often what follows a commit number failed
        self._pages = PageIntake(enroller, self._commit_numbered, lambda: self.checkpoint, self._start_over)
        self.transactions = Transactions(database.client)
        self.lock = asyncio.Lock()  # one transaction at a time: the stream's or a sweep's

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint as it was last committed or loaded."""
        if self._checkpoint is None:
            raise RuntimeError("intake has no checkpoint: load it first")
        return self._checkpoint

    @property
    def is_deferring(self) -> bool:
        """Whether decisions wait to be committed: nothing else has come of the changes of the last moment."""
        return self._deferral.position is not None

    async def deferral_s(self) -> float:
        """Return how long deferred decisions may still wait, in seconds, once there are some."""
        await self._deferral.begun.wait()
        return self._deferral.rest_s

    @property
    def _position(self) -> Checkpoint:
        """The checkpoint as it will be once what was deferred is committed."""
        return self._deferral.position or self.checkpoint

    async def load(self, checkpoint: Checkpoint) -> None:
        """Start from ``checkpoint``, with the workflows as they are stored; raise CheckpointCorrupt if they differ."""
        self._deferral.taken_back()
        if checkpoint.replayed_until:
            at = checkpoint.cluster_time.as_datetime()  # to a second: the checkpoint knows no more
            self._index.replace(await self._past.heads(at if checkpoint.token is None else at + _SECOND))
        else:
            await self._index.load(self._database[self._names.versions])
        self._enroller.forget()
        if checkpoint.done > sum(1 for _ in self._index):
            raise CheckpointCorrupt(f"checkpoint: done is {checkpoint.done}, more than there are workflows")
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
            try:
                while remaining:
                    events, behind = await self._without_unread(remaining)
                    where = None if behind else token
                    if self.caution.covers(events[0]):
                        await self._flush()
                        left = await self._take_with_care(events, where, structures)
                    else:
                        left = await self._take_some(events, where, structures)
                    remaining = [*left, *behind]
            except BaseException:
                self._index.take_back()  # a sweep may look at it before everything is loaded again
                raise
            return structures

    async def flush(self) -> None:
        """Commit the decisions that have waited for long enough; raises as ``take`` does."""
        async with self.lock:
            await self._flush()

    async def save(self, token: Mapping[str, Any]) -> None:
        """Move the checkpoint to a position before which nothing happened that concerns us."""
        async with self.lock:
            await self._flush()
            if self.ends_replay(token):
                await self._end_replay()
            # Where the token can one day not be used, the stream is opened at this time: it must not grow old.
            cluster_time = cluster_time_of(token) or self.checkpoint.cluster_time
            await self._commit(Batch(), replace(self.checkpoint, token=token, cluster_time=cluster_time))

    async def take_entrants(self, entrants: Sequence[Entrant], write: Write) -> None:
        """Commit the entrants of one page of a sweep, with what ``write`` adds to the transaction.

        ``write`` is given the number of entrants admitted and the refusals of the others, and may be asked twice.
        An entrant that cannot be stored is recorded and left out (promise 8). Must be called with ``lock`` held;
        raises as ``take`` does.
        """
        await self._flush()
        await self._pages.take(entrants, write)

    async def take_late(self, event: Event) -> None:
        """Take in a request that the stream does not bring; raises as ``take`` does."""
        async with self.lock:
            await self._flush()
            try:
                batch = await self._enroller.enrol(await self._plan([event]), self.checkpoint, at_once=False)
                await self._commit_numbered(batch)
            except LeaseLost:
                raise
            except Exception as error:
                if is_transient(error):
                    raise
                self._start_over()
                answer = refused(event.document_id, str(Reason.INTAKE_ERROR), self._clock.now())
                await self._commit(Batch(answers=[answer]), self.checkpoint)

    @property
    def is_replaying(self) -> bool:
        """Whether the stream is read again, with the workflows as they were, after a reset into the past."""
        return self._checkpoint is not None and self._checkpoint.replayed_until != ""

    def ends_replay(self, token: Mapping[str, Any]) -> bool:
        """Return whether everything that was read before lies before ``token``."""
        return self.is_replaying and str(token["_data"]) > self.checkpoint.replayed_until

    async def _without_unread(self, events: list[Event]) -> tuple[list[Event], list[Event]]:
        """Return ``events``, of which none was read before or all were, and the others behind them."""
        if not self.is_replaying:
            return events, []
        count = sum(event.token <= self.checkpoint.replayed_until for event in events)
        if count:
            return events[:count], events[count:]
        await self._flush()
        await self._end_replay()
        return events, []

    async def _end_replay(self) -> None:
        """Take up the workflows as they are: what follows was not read before."""
        await self._index.load(self._database[self._names.versions])
        self._enroller.forget()
        self._checkpoint = replace(self.checkpoint, replayed_until="")
        self._on_replayed()

    async def _current(self, events: Sequence[Event]) -> Current:
        """Read what the events do not carry: entities and workflows without after-image, entities of requests."""
        entities, workflows = missing_documents(events)
        entities += self._manual.entities_of(events)
        found = await self._entities.read(entities) if entities else {}
        documents: dict[bytes, Mapping[str, Any]] = {}
        if workflows:
            found_raw = raw_collection(self._database, self._names.workflows).find({"_id": {"$in": workflows}})
            async for raw in found_raw:
                document = readable(opened(raw.raw))
                documents[bson_bytes(document["_id"])] = document
        is_read_again = self.is_replaying and bool(events) and events[-1].token <= self.checkpoint.replayed_until
        return Current(found, documents, await self._past.replayed(events) if is_read_again else None)

    async def _take_some(
        self,
        events: list[Event],
        token: Mapping[str, Any] | None,
        structures: list[Event],
        *,
        at_once: bool = True,
        most_writes: int = MAX_WRITES,
    ) -> list[Event]:
        """Commit as many events as fit one transaction; return the others. Split what cannot be taken in."""
        plan: Plan | None = None
        try:
            plan = await self._plan(events, most_writes)
            await self._commit_plan(plan, None if plan.consumed < len(events) else token, events, at_once=at_once)
        except LeaseLost:
            raise
        except Exception as error:
            deferred = self._deferral.taken_back()
            events = [*deferred, *events]
            if is_forbidden(error) and at_once:
                # Perhaps only what one workflow inserts is: queued, it holds up no other entity.
                self._start_over()
                return await self._take_some(events, token, structures, at_once=False)
            if is_transient(error) or self._is_worth_another_try(error):
                raise
            taken = len(events) if plan is None else len(deferred) + max(plan.consumed, 1)
            await self._take_apart(events[:taken], error, structures)
            return events[taken:]
        structures += plan.structures
        return events[plan.consumed :]

    async def _flush(self) -> None:
        if self._deferral.position is not None:
            await self._take_some([], None, [])

    def _is_worth_another_try(self, error: Exception) -> bool:
        """Return whether what follows the checkpoint is to be tried again, after an answer that says nothing."""
        commit, tries = self._vague
        self._vague = (self.checkpoint.commit, tries + 1 if commit == self.checkpoint.commit else 1)
        return is_vague(error) and self._vague[1] < VAGUE_TRIES

    async def _take_with_care(
        self, events: list[Event], token: Mapping[str, Any] | None, structures: list[Event]
    ) -> list[Event]:
        """Take ``events`` with the try counted; return what is left.

        Where a batch was fatal, its changes are taken alone, and workflow by workflow once that was fatal: their
        executions are queued, and the executor is as careful. What was fatal too often is recorded and passed.
        """
        covered = list(takewhile(self.caution.covers, events))
        trial = await self.caution.try_next(self.checkpoint.commit, covered)
        event, done, behind = events[0], self.checkpoint.done, events[len(covered) :]
        if not trial.is_alone(event):
            return [*await self._take_some(covered, None if behind else token, structures), *behind]
        if trial.tries <= MOST_TRIES:
            most_writes = MAX_WRITES if trial.tries == 1 and not done else 1
            left = await self._take_some([event], None, structures, at_once=False, most_writes=most_writes)
            return [*left, *events[1:]]
        candidates = self._planner.candidates(event)
        is_last = done + 1 >= len(candidates)
        workflow = candidates[done] if done < len(candidates) else None
        await self._pass_over(event, ReaderDied(), workflow, is_last=is_last)
        return events[1:] if is_last else events

    async def _plan(self, events: Sequence[Event], most_writes: int = MAX_WRITES) -> Plan:
        current = await self._current(events)
        await self._index.prepare(edits_in(events, current))
        return await self._planner.plan(events, self._position.done, self._position.causes, current, most_writes)

    async def _commit_plan(
        self, plan: Plan, token: Mapping[str, Any] | None, events: Sequence[Event], *, at_once: bool
    ) -> None:
        """Commit the plan of ``events``, or let it wait where it is of no concern to anybody yet."""
        batch = await self._enroller.enrol(plan, self._position, at_once=at_once)
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_MATCH)
        moved, taken = self._moved(plan, batch, token), events[: plan.consumed]
        if at_once and taken and not plan.structures and not plan.done and self._deferral.takes(batch, taken):
            self._deferral.add(batch, taken, moved)
            return
        self._deferral.put_before(batch)
        await self._commit(batch, moved)
        log_refusals(batch)

    async def _take_apart(self, failed: list[Event], error: Exception, structures: list[Event]) -> None:
        """Take failed events one half at a time, and the one that fails alone workflow by workflow.

        Their executions are queued rather than ended at once: the effect of one may be what the database refuses.
        """
        self._start_over()
        if len(failed) == 1:
            await self._take_singly(failed[0], error)
            return
        middle = len(failed) // 2
        for half in (failed[:middle], failed[middle:]):
            left = half
            while left:
                left = await self._take_some(left, None, structures, at_once=False)

    async def _take_singly(self, event: Event, error: Exception) -> None:
        """Take one event in, a workflow at a time; record and pass over those that fail (promise 8)."""
        candidates = self._planner.candidates(event)
        if not candidates:
            await self._pass_over(event, error)
        done = self.checkpoint.done
        while done < len(candidates):
            try:
                await self._commit_plan(await self._plan([event], most_writes=1), None, [event], at_once=False)
            except LeaseLost:
                raise
            except Exception as wrong:
                if is_transient(wrong):
                    raise
                self._start_over()
                await self._pass_over(event, wrong, candidates[done], is_last=done + 1 == len(candidates))
            done += 1

    def _start_over(self) -> None:
        """Forget what a transaction that was not committed has left in memory."""
        self._index.take_back()
        self._enroller.forget()

    async def _pass_over(
        self, event: Event, error: Exception, workflow: Workflow | None = None, *, is_last: bool = True
    ) -> None:
        """Record that a change could not be taken in, for one workflow or at all, and move on."""
        text = refusal_text(error) if isinstance(error, PyMongoError) else type(error).__name__
        entity_type = event.change.entity_type if event.change is not None else event.collection
        emit(
            LogEvent.INTAKE_ERROR,
            entity_type=entity_type,
            entity_id=event.document_id,
            workflow_id=workflow.id if workflow is not None else None,
            error=error,
        )
        moved = replace(self.checkpoint, done=self.checkpoint.done + 1)
        if is_last:
            moved = replace(moved, token={"_data": event.token}, cluster_time=event.cluster_time, done=0)
        moved = replace(moved, causes=self.checkpoint.causes.within(event.transaction))
        batch = Batch(decisions=[skipped_change_document(event, entity_type, text, workflow, self.checkpoint.done)])
        if event.subject is Subject.REQUEST:
            batch.answers.append(refused(event.document_id, str(Reason.INTAKE_ERROR), self._clock.now()))
        await self._commit(batch, moved)

    async def _commit_numbered(self, batch: Batch) -> None:
        await self._commit(batch, self._numbered(batch))

    def _numbered(self, batch: Batch) -> Checkpoint:
        """Return the checkpoint with the numbers that the batch's executions have used up."""
        checkpoint = self._position
        due_floor = max(self._clock.now(), checkpoint.due_floor)
        return replace(checkpoint, seq=checkpoint.seq + len(batch.executions), due_floor=due_floor)

    def _moved(self, plan: Plan, batch: Batch, token: Mapping[str, Any] | None) -> Checkpoint:
        """Return the checkpoint after a plan: the last whole event, and how much of the next one is done."""
        moved = replace(self._numbered(batch), done=plan.done, causes=plan.causes)
        if plan.last is not None:
            moved = replace(moved, token={"_data": plan.last.token}, cluster_time=plan.last.cluster_time)
        return replace(moved, token=token) if token is not None and not plan.done else moved

    async def _commit(self, batch: Batch, moved: Checkpoint) -> None:
        before = self.checkpoint
        moved = replace(moved, commit=before.commit + 1)
        while True:
            work = partial(self._store.write, batch, before.commit, moved, self._clock.now())
            try:
                await self.transactions.run(work, timeout_s=_TIMEOUT_S)
                break
            except BulkWriteError as error:
                if not is_duplicate(error) or not await self._store.drop_replayed(batch):
                    raise
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_INTAKE)
        self._checkpoint = moved
        self._deferral.committed()
        edits = self._index.edits(batch.heads)
        self._index.settle()
        self._metrics.executions += len(batch.executions)
        self._metrics.refusals += len(batch.refusals)
        ended = [job for job, _ in batch.ended.values()]
        self._on_commit(Committed(batch.jobs, ended, batch.heads, edits, batch.rewritten, moved.commit))
