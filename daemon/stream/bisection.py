"""Take a batch in, and find the change or workflow in it that makes the transaction fail.

A batch is tried in portions. A portion that fails for a permanent reason is tried again in smaller ones: with all its
executions queued, in halves, one change alone, that change one workflow at a time. A workflow that fails even then is
recorded with the change, and skipped (promise 8). If a change ends the process, the counted tries narrow the portions
likewise (``daemon.stream.trial``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Final

from pymongo.errors import PyMongoError

from config.error import LeaseLost
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.mongo.failure import is_forbidden, is_transient
from daemon.mongo.refusal import refusal_text
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.commit import Committer
from daemon.stream.current import CurrentReader
from daemon.stream.decision import log_refusals, skipped_change_document
from daemon.stream.decode import EventSubject, StreamEvent
from daemon.stream.enroller import Enroller, refused
from daemon.stream.plan import MAX_WRITES, Plan, Planner
from daemon.stream.trial import MOST_TRIES, ReaderDied, Trials
from daemon.stream.writes import Writes
from daemon.telemetry import emit
from rules.explain import Reason

_ONE_WORKFLOW: Final = 1  # of a change, in one transaction


@dataclass(frozen=True, slots=True)
class Portion:
    """Events to take in, with about ``most_writes`` in one transaction.

    ``token`` is the position after them where it is further than the last event's. ``at_once``: whether executions may
    end in the transaction that makes them. ``problem``: why the next workflow of the first event is to be skipped.
    """

    events: list[StreamEvent] = field(default_factory=list)
    token: Mapping[str, Any] | None = None
    at_once: bool = True
    most_writes: int = MAX_WRITES
    problem: Exception | None = None

    def first(self, count: int) -> "Portion":
        """Return this portion with its first ``count`` events only."""
        return self if count >= len(self.events) else replace(self, events=self.events[:count], token=None)

    def behind(self, count: int) -> list["Portion"]:
        """Return the portions behind the first ``count`` events: one or none."""
        return [replace(self, events=self.events[count:])] if count < len(self.events) else []

    def smaller(self, failed: list[StreamEvent], error: Exception) -> list["Portion"]:
        """Return the smaller portions to try after ``failed`` of this one failed together, the first last."""
        if len(failed) > 1:
            middle = len(failed) // 2
            return [Portion(half, at_once=False) for half in (failed[middle:], failed[:middle])]
        if self.most_writes > _ONE_WORKFLOW:
            return [Portion(failed, at_once=False, most_writes=_ONE_WORKFLOW)]
        return [replace(self, problem=error)]


class Bisection:
    """Takes batches in, in order, in as many transactions as they need."""

    def __init__(
        self,
        current: CurrentReader,
        planner: Planner,
        enroller: Enroller,
        committer: Committer,
        trials: Trials,
        clock: ServerClock,
    ) -> None:
        self._current = current
        self._planner = planner
        self._enroller = enroller
        self._committer = committer
        self._trials = trials
        self._clock = clock

    async def take(self, events: Sequence[StreamEvent], token: Mapping[str, Any] | None) -> list[StreamEvent]:
        """Take ``events`` in; return those about collections and the database. Raises as ``Intake.take`` does."""
        structures: list[StreamEvent] = []
        portions = [Portion(list(events), token)]  # those left, the first last
        while portions:
            portion = portions.pop()
            if portion.problem is None and portion.events and self._trials.covers(portion.events[0]):
                narrowed = await self._counted(portion)
                portions += portion.behind(len(narrowed.events))
                portion = narrowed
            if portion.problem is not None:
                portions += await self._passed_over(portion, portion.problem)
                continue
            plan: Plan | None = None
            try:
                plan = await self.plan(portion.events, portion.most_writes)
                await self._commit(plan, portion)
            except LeaseLost:
                raise
            except Exception as error:
                portions += self._smaller(portion, plan, error)
            else:
                structures += plan.structures
                portions += portion.behind(plan.consumed)
        return structures

    async def flush(self) -> None:
        """Commit the deferred decisions; raises as ``take`` does."""
        if self._committer.deferral.position is not None:
            await self.take([], None)

    async def plan(self, events: Sequence[StreamEvent], most_writes: int = MAX_WRITES) -> Plan:
        """Return the plan of as many events as fit one transaction."""
        position = self._committer.position
        current = await self._current.read(events, replayed_until=position.replayed_until)
        return await self._planner.plan(events, position.done, position.causes, current, most_writes)

    async def _counted(self, portion: Portion) -> Portion:
        """Return the part of a portion to try if a change in it may end the process, and count the try.

        After a fatal batch its changes are taken alone, and after that workflow by workflow, with their executions
        queued, because the executor counts tries, too. A change that was fatal too often is skipped.
        """
        if self._committer.deferral.position is not None:
            return Portion()  # commit the deferred ones first: tries are counted by the commit before them
        covered = list(takewhile(self._trials.covers, portion.events))
        checkpoint = self._committer.checkpoint
        trial = await self._trials.count(checkpoint.commit, covered)
        if not trial.is_alone(covered[0]):
            return portion.first(len(covered))
        alone = replace(portion.first(1), token=None, at_once=False)
        if trial.tries > MOST_TRIES:
            return replace(alone, problem=ReaderDied())
        return alone if trial.tries == 1 and not checkpoint.done else replace(alone, most_writes=_ONE_WORKFLOW)

    async def _commit(self, plan: Plan, portion: Portion) -> None:
        """Commit the plan of a portion, or defer it where it holds only decisions."""
        writes = await self._enroller.enrol(plan, self._committer.position, at_once=portion.at_once)
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_MATCH)
        taken, deferral = portion.first(plan.consumed), self._committer.deferral
        moved = self._moved(plan, writes, taken.token)
        may_wait = portion.at_once and taken.events and not plan.structures and not plan.done
        if may_wait and deferral.takes(writes, taken.events):
            deferral.add(writes, taken.events, moved)
            return
        deferral.put_before(writes)
        await self._committer.commit(writes, moved)
        log_refusals(writes.refusals)

    def _moved(self, plan: Plan, writes: Writes, token: Mapping[str, Any] | None) -> Checkpoint:
        """Return the checkpoint after a plan: the last whole event, and how much of the next one is done."""
        moved = replace(self._committer.after(writes), done=plan.done, causes=plan.causes)
        if plan.last is not None:
            moved = replace(moved, token={"_data": plan.last.token}, cluster_time=plan.last.cluster_time)
        return replace(moved, token=token) if token is not None else moved

    def _smaller(self, portion: Portion, plan: Plan | None, error: Exception) -> list[Portion]:
        """Return the portions to take instead of one that failed, the first last; raise a transient error."""
        deferred = self._committer.deferral.taken_back()  # they were part of the transaction
        if is_forbidden(error) and portion.at_once:
            # Perhaps a document that an action inserts is refused: a queued execution delays no other entity.
            self._enroller.start_over()
            return [replace(portion, events=[*deferred, *portion.events], at_once=False)]
        commit, is_smallest = self._committer.checkpoint.commit, portion.most_writes == _ONE_WORKFLOW
        if is_transient(error) or (not is_smallest and self._trials.is_worth_another(commit, error)):
            raise error
        self._enroller.start_over()
        planned = len(portion.events) if plan is None else max(plan.consumed, 1)
        failed = [*deferred, *portion.events[:planned]]
        return portion.behind(planned) + portion.smaller(failed, error)

    async def _passed_over(self, portion: Portion, problem: Exception) -> list[Portion]:
        """Record that a change could not be taken in, for one workflow or at all; return the rest of the portion."""
        event, checkpoint = portion.events[0], self._committer.checkpoint
        candidates = self._planner.candidates(event)
        workflow = candidates[checkpoint.done] if checkpoint.done < len(candidates) else None
        text = refusal_text(problem) if isinstance(problem, PyMongoError) else type(problem).__name__
        entity_type = event.change.entity_type if event.change is not None else event.collection
        names = {"workflow_id": workflow.id if workflow is not None else None, "entity_type": entity_type}
        emit(Event.INTAKE_ERROR, **names, entity_id=event.document_id, error=problem)
        is_last = checkpoint.done + 1 >= len(candidates)
        moved = replace(checkpoint, done=checkpoint.done + 1, causes=checkpoint.causes.within(event.transaction))
        if is_last:
            moved = replace(moved, token={"_data": event.token}, cluster_time=event.cluster_time, done=0)
        writes = Writes(decisions=[skipped_change_document(event, entity_type, text, workflow, checkpoint.done)])
        if event.subject is EventSubject.REQUEST:
            writes.answers.append(refused(event.document_id, str(Reason.INTAKE_ERROR), self._clock.now()))
        await self._committer.commit(writes, moved)
        return [] if is_last else [replace(portion, problem=None)]
