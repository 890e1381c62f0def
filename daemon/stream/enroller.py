"""Turn a plan into its writes: executions numbered in stream order, and decisions on the refused entrants.

This is the second half of intake. It follows the order of the plan, so the numbers of executions are their commit order
(promise 3), and the switch of a workflow knows the last number before it (promise 5).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from daemon.clock import ServerClock
from daemon.executions.job import job_from
from daemon.slice import TimeSlice
from daemon.stream.admission import Admission
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.decision import MAX_ENTRIES, decision_document, given_up_document
from daemon.stream.due import DueEntities
from daemon.stream.entrant import Entrant, execution_document
from daemon.stream.immediate import Immediate
from daemon.stream.manual import Answer, ExecutionRequest, ManualRun
from daemon.stream.plan import Candidate, Plan
from daemon.stream.writes import Writes
from daemon.versions.stored import version_writes
from daemon.versions.workflow_index import WorkflowIndex
from rules.explain import GIVEN_UP, Refusal
from rules.identity import bson_bytes
from rules.version import Version


class Enroller:
    """Makes the writes of plans. Not for use by more than one task at a time."""

    def __init__(
        self,
        index: WorkflowIndex,
        admission: Admission,
        immediate: Immediate,
        due: DueEntities,
        clock: ServerClock,
        *,
        lanes: int,
        time_scale: float,
    ) -> None:
        self._index = index
        self._admission = admission
        self._immediate = immediate
        self._due = due
        self._clock = clock
        self._lanes = lanes
        self._time_scale = time_scale

    async def enrol(self, plan: Plan, checkpoint: Checkpoint, *, at_once: bool) -> Writes:
        """Return the writes of a plan. ``at_once``: whether executions may end in the transaction that makes them."""
        writes = Writes(rewritten=plan.rewritten)
        await self._admission.load(entrant for item in plan.items for entrant in _entrants(item))
        now = self._now(checkpoint)
        queued = await self._due.among(self._new_entities(plan), now) if at_once else set()
        stopped: dict[bytes, int] = {}
        turn = TimeSlice()
        for item in plan.items:
            if turn.is_over:
                await turn.give_way()
            seq = checkpoint.seq + len(writes.executions)
            match item:
                case Candidate():
                    await self._add_candidate(writes, item, seq, now, queued if at_once else None)
                case Version():
                    self._add_version(writes, item.at(seq), stopped)
                case ManualRun():
                    self._add_manual(writes, item, seq, now)
                case ExecutionRequest():
                    writes.commands.append(item)
                case Answer():
                    writes.answers.append(refused(item.request_id, item.reason, now))
        writes.versions = version_writes(writes.new_versions, checkpoint.commit + 1, now)
        writes.enrollments = self._admission.writes()
        return writes

    def _new_entities(self, plan: Plan) -> Iterator[tuple[str, Any]]:
        """Yield the type and id of every entity whose execution could end in the transaction that makes it."""
        for item in plan.items:
            for entrant in _entrants(item):
                if self._immediate.may_end(entrant):
                    yield entrant.entity_type, entrant.entity_id

    async def enrol_page(self, entrants: Sequence[Entrant], checkpoint: Checkpoint) -> tuple[Writes, list[Refusal]]:
        """Return the writes of one page of a sweep, and the refusals.

        Entities that could not be judged are recorded one by one, up to 100 of a page; the summary counts all.
        """
        writes, refusals = Writes(), []
        await self._admission.load(entrants)
        now = self._now(checkpoint)
        turn = TimeSlice()
        for entrant in entrants:
            await turn.give_way()
            refusal = self._admission.refusal(entrant)
            if refusal is not None:
                refusals.append(refusal)
                if refusal.reason in GIVEN_UP and len(writes.decisions) < MAX_ENTRIES:
                    writes.decisions.append(given_up_document(entrant, refusal))
                    writes.refusals.append((refusal, entrant.entity_type, entrant.entity_id))
            else:
                self._add_execution(writes, entrant, checkpoint.seq + len(writes.executions) + 1, now)
        writes.enrollments = self._admission.writes()
        return writes, refusals

    def start_over(self) -> None:
        """Forget the state of a transaction that was not committed."""
        self._index.take_back()
        self._admission.forget()

    def _now(self, checkpoint: Checkpoint) -> datetime:
        """Return when an immediate step made now is due: never before one made earlier."""
        return max(self._clock.now(), checkpoint.due_floor)

    async def _add_candidate(
        self, writes: Writes, item: Candidate, seq: int, now: datetime, queued: set[tuple[str, Any]] | None
    ) -> None:
        """Add the executions of one change. ``queued``: entities with queued executions; None: end no execution."""
        refusals = list(item.refusals)
        for entrant in item.entrants:
            refusal = self._admission.refusal(entrant)
            if refusal is not None:
                refusals.append(refusal)
                continue
            seq += 1
            self._add_execution(writes, entrant, seq, now)
            if queued is not None:
                await self._end_at_once(writes, entrant, now, queued)
        if refusals:
            writes.decisions.append(decision_document(item.change, refusals, item.chunk))
            change = item.change
            writes.refusals += [(refusal, change.entity_type, change.entity_id) for refusal in refusals]

    async def _end_at_once(self, writes: Writes, entrant: Entrant, now: datetime, queued: set[tuple[str, Any]]) -> None:
        """End the execution that was added last, unless an earlier one of its entity is still queued."""
        job = writes.jobs[-1]
        if job.entity_key not in queued and self._immediate.may_end(entrant):
            inserts = await self._immediate.end(job, entrant, writes.executions[-1], now)
            if inserts is not None:
                writes.jobs.pop()
                writes.ended[job.execution_id] = (job, inserts)
                return
        queued.add(job.entity_key)

    def _add_manual(self, writes: Writes, item: ManualRun, seq: int, now: datetime) -> None:
        refusal = self._admission.refusal(item.entrant)
        if refusal is not None:
            writes.answers.append(refused(item.request_id, str(refusal.reason), now))
            return
        self._add_execution(writes, item.entrant, seq + 1, now)
        answer = {"status": "accepted", "execution_id": item.entrant.execution_id}
        writes.answers.append(_answer(item.request_id, answer, now))

    def _add_version(self, writes: Writes, version: Version, stopped: dict[bytes, int]) -> None:
        """Add a version. ``stopped``: the numbers up to which earlier versions in the plan stopped their workflows."""
        key = bson_bytes(version.workflow_id)
        version = replace(version, stopped_seq=max(version.stopped_seq, stopped.get(key, -1)))
        stopped[key] = version.stopped_seq
        self._index.put(version)
        writes.new_versions.append(version)

    def _add_execution(self, writes: Writes, entrant: Entrant, seq: int, now: datetime) -> None:
        document = execution_document(entrant, seq, now=now, lanes=self._lanes, time_scale=self._time_scale)
        writes.executions.append(document)
        writes.jobs.append(job_from(document, entrant.workflow))


def _entrants(item: object) -> Sequence[Entrant]:
    match item:
        case Candidate():
            return item.entrants
        case ManualRun():
            return [item.entrant]
    return ()


def refused(request_id: Any, reason: str, now: datetime) -> UpdateOne:
    """Return the write that answers a request with a refusal."""
    return _answer(request_id, {"status": "refused", "reason": reason}, now)


def _answer(request_id: Any, answer: Mapping[str, Any], now: datetime) -> UpdateOne:
    return UpdateOne({"_id": request_id}, {"$set": {**answer, "answered_at": now}})
