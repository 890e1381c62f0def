"""Plan a batch of events in stream order: the first half of intake, without MongoDB.

Workflow edits take effect at their own place among the changes around them. Enrollment, throttling and numbering come
afterwards, because they need stored documents.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from config.error import ReflexdError
from daemon.slice import TimeSlice
from daemon.stream.change_judge import ChangeJudge, CostlyWorkflows
from daemon.stream.current import Current
from daemon.stream.decision import MAX_ENTRIES
from daemon.stream.decode import EventSubject, StreamEvent
from daemon.stream.entrant import Entrant, entrant_of, kept_of
from daemon.stream.manual import Answer, ExecutionRequest, Manual, ManualRun
from daemon.stream.open_causes import OpenCauses
from daemon.versions.workflow_index import WorkflowIndex
from rules.change import Change, JudgedOn, Kind
from rules.explain import Refusal
from rules.identity import bson_bytes, entity_key
from rules.version import Version
from rules.workflow import Workflow

MAX_WRITES: Final = 1_500  # of one transaction
MOST_JUDGED: Final = 200_000  # conditions between two commits
FINDINGS_A_WRITE: Final = 8  # a refusal counts by its stored findings
BYTES_AN_EDIT: Final = 1_024  # a larger workflow counts as several writes, so that a plan compares few of the largest
BYTES_A_WRITE: Final = 4_096  # a larger document counts as several writes, so that a transaction stays near 8 MB


@dataclass(slots=True)
class Candidate:
    """One change and the verdicts of its workflows; ``chunk`` is above 0 where a change spans transactions."""

    change: Change
    entrants: Sequence[Entrant]
    refusals: Sequence[Refusal]
    chunk: int


Item = Candidate | Version | ManualRun | ExecutionRequest | Answer


@dataclass(slots=True)
class Plan:
    """The items to commit together, in order, and the position after them."""

    items: list[Item] = field(default_factory=list)
    consumed: int = 0  # events handled completely
    done: int = 0  # workflows of the next event that were handled
    causes: OpenCauses = field(default_factory=OpenCauses)
    last: StreamEvent | None = None  # the last event handled completely
    structures: list[StreamEvent] = field(default_factory=list)
    rewritten: list[Any] = field(default_factory=list)  # workflows saved without a new version
    writes: int = 0
    most_writes: int = MAX_WRITES
    judged: int = 0  # conditions


class Planner:
    """Plans batches against the workflow index, and applies edits to the index."""

    def __init__(self, index: WorkflowIndex, manual: Manual, *, max_depth: int) -> None:
        self._index = index
        self._manual = manual
        self._max_depth = max_depth
        self._costly = CostlyWorkflows()

    async def plan(
        self,
        events: Sequence[StreamEvent],
        done: int,
        causes: OpenCauses,
        current: Current,
        most_writes: int = MAX_WRITES,
    ) -> Plan:
        """Return the plan for as many of ``events`` as fit one transaction of about ``most_writes``.

        ``done``: how many workflows of the first event were handled by an earlier transaction. The event loop
        turns meanwhile, and nothing else may change the index.
        """
        events = events[: current.covered]
        await self._index.prepare(_edits_in(events, current))
        plan = Plan(done=done, causes=causes, most_writes=most_writes)
        turn = TimeSlice()
        for event in events:
            if plan.writes >= most_writes or plan.judged >= MOST_JUDGED:
                break
            if event.change is not None and event.subject is EventSubject.ENTITY:
                plan.causes = plan.causes.within(event.transaction)
                await self._add_change(plan, event.change, current, turn)
            else:
                await turn.give_way()
                self._add(plan, event, current)
            if plan.done:
                break
            plan.consumed += 1
            plan.last = event
        return plan

    def candidates(self, event: StreamEvent) -> list[Workflow]:
        """Return the workflows that an event concerns, in the order in which a plan handles them."""
        return [workflow for workflow, _ in self._index.candidates(event.change)] if event.change is not None else []

    def _add(self, plan: Plan, event: StreamEvent, current: Current) -> None:
        plan.causes = plan.causes.within(event.transaction)
        match event.subject:
            case EventSubject.WORKFLOW:
                self._add_edit(plan, event, current)
            case EventSubject.REQUEST:
                self._add_request(plan, event, current)
            case EventSubject.CAUSES:
                plan.causes = plan.causes.with_records(event.transaction, (event.document or {}).get("causes"))
            case _:
                plan.structures.append(event)

    async def _add_change(self, plan: Plan, change: Change, current: Current, turn: TimeSlice) -> None:
        candidates = self._index.candidates(change)
        if not candidates:
            plan.done = 0
            return
        change = _completed(change, plan.causes, current)
        kept = kept_of(change)
        weight = 2 + kept.size // BYTES_A_WRITE  # the execution, with a deleted entity in it, and its enrollment
        start, room = plan.done, max((plan.most_writes - plan.writes) // weight, 1)
        entrants: list[Entrant] = []
        refusals: list[Refusal] = []
        judge = ChangeJudge(change, self._costly, self._max_depth)
        end, told = start, 0
        for workflow, version in candidates[start : start + room]:
            if plan.judged >= MOST_JUDGED and end > start:
                break
            end += 1
            plan.judged += 1 + workflow.conditions.count
            verdict = judge.judge(workflow, version.status, explains=len(refusals) < MAX_ENTRIES)
            if turn.is_over:
                await turn.give_way()
            if verdict is None:
                entrants.append(entrant_of(workflow, change, kept))
            elif isinstance(verdict, Refusal):
                refusals.append(verdict)
                told += len(verdict.findings)
        plan.done = end if end < len(candidates) else 0
        plan.writes += len(entrants) * weight + 1 + told // FINDINGS_A_WRITE
        if entrants or refusals:
            plan.items.append(Candidate(change, entrants, refusals, start))

    def _add_edit(self, plan: Plan, event: StreamEvent, current: Current) -> None:
        if current.replayed is not None:
            if event.token in current.replayed.versions:
                self._index.put(current.replayed.versions[event.token])
            return
        document = _edit_of(event, current)
        if document is None and event.operation != "delete":
            return  # deleted since: that event follows
        if document is None:
            self._costly.forget(event.document_id)
        version = self._index.edit(event.document_id, document)
        if version is not None:
            plan.items.append(replace(version, since=event.at))
            plan.writes += 4 + event.size // BYTES_AN_EDIT
        else:
            plan.rewritten.append(event.document_id)

    def _add_request(self, plan: Plan, event: StreamEvent, current: Current) -> None:
        if event.document is None:
            return
        if current.replayed is not None and bson_bytes(event.document_id) in current.replayed.answered:
            return
        plan.writes += 3
        try:
            plan.items.append(self._manual.plan(event, current.entities))
        except ReflexdError as error:
            plan.items.append(Answer(event.document_id, str(error)))


def _completed(change: Change, causes: OpenCauses, current: Current) -> Change:
    """Return the change with its cause, and with the entity as it is now where no after-image was stored."""
    cause = causes.cause_of(change.entity_type, change.entity_id)
    if change.after is not None or change.kind is Kind.DELETED:
        return change if cause is change.cause else replace(change, cause=cause)
    after = current.entities.get(entity_key(change.entity_type, change.entity_id))
    return replace(change, cause=cause, after=after, judged_on=JudgedOn.CURRENT)


def _edits_in(events: Sequence[StreamEvent], current: Current) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield the id and the new document of every workflow that was saved."""
    for event in events:
        document = _edit_of(event, current) if event.subject is EventSubject.WORKFLOW else None
        if document is not None:
            yield event.document_id, document


def _edit_of(event: StreamEvent, current: Current) -> Mapping[str, Any] | None:
    if event.operation == "delete":
        return None
    return event.document or current.workflows.get(bson_bytes(event.document_id))
