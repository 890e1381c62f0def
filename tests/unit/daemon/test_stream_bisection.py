"""A batch with something in it that cannot be taken in: exactly that is passed over, the rest taken once, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, OperationFailure

from config.error import LeaseLost
from daemon.mongo.failure import MISSING_PRIVILEGE_CODE, VAGUE_TRIES
from daemon.stream.bisection import Bisection
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.decode import EventSubject, StreamEvent
from daemon.stream.deferral import Deferral
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.origin import Origin
from daemon.stream.plan import Plan
from daemon.stream.trial import Trials
from daemon.stream.writes import Writes

AT: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
VAGUE: Final = OperationFailure("internal error", 1)
FORBIDDEN: Final = OperationFailure("not authorized", MISSING_PRIVILEGE_CODE)
MOST_WRITES: Final = 4  # of one transaction here, so that changes span several
BEGINNING: Final = Checkpoint(0, 0, None, Timestamp(1, 0), 0, NO_CAUSES, AT, "hash", Origin("rs0"))
Run = tuple[str, int]  # the token of an event, and the place of a workflow


def event(number: int) -> StreamEvent:
    return StreamEvent(EventSubject.ENTITY, f"82{number:04d}", Timestamp(1, number), None, AT, "insert", "leads", 1, {})


def events(count: int) -> list[StreamEvent]:
    return [event(number) for number in range(count)]


class Clock:
    def now(self) -> datetime:
        return AT


@dataclass
class Intake:
    """Stands for all that a bisection asks: plans of one write for each workflow, and transactions that may fail."""

    workflows: int = 1
    faults: dict[Run, Exception] = field(default_factory=dict)
    quiet: frozenset[str] = frozenset()  # tokens of events of which nothing comes but decisions
    is_forbidden_at_once: bool = False
    taken: list[Run] = field(default_factory=list)
    passed_over: list[Run] = field(default_factory=list)
    tries: int = 0
    trial: dict[str, Any] | None = None
    checkpoint: Checkpoint = BEGINNING

    def __post_init__(self) -> None:
        self.deferral = Deferral(lambda: 1_000.0)
        self.trials = Trials(cast(Any, self), cast(Any, Clock()))
        self.bisection = Bisection(*cast(Any, (self, self, self, self, self.trials, Clock())))

    async def take(self, count: int) -> list[StreamEvent]:
        behind = {"_data": f"82{count - 1:04d}FF"}  # the position of a reply is often further than its last event
        return await self.bisection.take(events(count)[self.handled() :], behind)

    def handled(self) -> int:
        """Return how many events lie before the checkpoint."""
        token = self.checkpoint.token
        return int(token["_data"][2:6]) + 1 if token is not None else 0

    def runs(self, count: int) -> list[Run]:
        return [(each.token, place) for each in events(count) for place in range(self.workflows)]

    # What reads, plans and enrols.

    async def read(self, some: Sequence[StreamEvent], *, replayed_until: str) -> Any:
        return None

    def candidates(self, some: StreamEvent) -> list[Any]:
        return [SimpleNamespace(id=place, name="W", version=1) for place in range(self.workflows)]

    async def plan(self, some: Sequence[StreamEvent], done: int, causes: Any, current: Any, most_writes: int) -> Plan:
        plan, room = Plan(causes=NO_CAUSES), min(most_writes, MOST_WRITES)
        for each in some:
            places = range(done, self.workflows)[: room - len(plan.items)]
            plan.items += cast(Any, [(each.token, place) for place in places])
            if done + len(places) < self.workflows:
                plan.done = done + len(places)
                return plan
            plan.consumed, plan.last, done = plan.consumed + 1, each, 0
        return plan

    async def enrol(self, plan: Plan, checkpoint: Checkpoint, *, at_once: bool) -> Writes:
        made = [cast(Any, run) for run in plan.items]
        if all(token in self.quiet for token, _ in made):
            return Writes(decisions=made)
        return Writes(executions=made, rewritten=[at_once])

    def start_over(self) -> None:
        pass

    # What commits.

    @property
    def position(self) -> Checkpoint:
        return self.deferral.position or self.checkpoint

    def after(self, writes: Writes) -> Checkpoint:
        return self.position

    async def commit(self, writes: Writes, moved: Checkpoint) -> None:
        self.tries += 1
        assert self.tries < 10_000, "this never ends"
        made: list[Any] = [*writes.decisions, *writes.executions]
        runs = [run for run in made if isinstance(run, tuple)]  # beside them stand decisions on what is passed over
        for run in runs:
            if run in self.faults:
                raise self.faults[run]
        if self.is_forbidden_at_once and writes.rewritten == [True]:
            raise FORBIDDEN
        self.taken += runs
        if len(made) > len(runs):
            self.passed_over.append((f"82{self.handled():04d}", self.checkpoint.done))
        self.checkpoint = replace(moved, commit=self.checkpoint.commit + 1)
        is_stored = len(self.taken) + len(self.passed_over)
        assert is_stored == self.handled() * self.workflows + moved.done, "the position is not that of what is stored"
        self.deferral.committed()

    # What keeps the count of tries.

    async def find_one(self, wanted: Any) -> Any:
        return self.trial

    async def replace_one(self, wanted: Any, document: dict[str, Any], *, upsert: bool) -> None:
        self.trial = document


FAULT: Final = st.sampled_from([ValueError("cannot be stored"), VAGUE])


@given(st.data())
async def test_whatever_is_at_fault_is_passed_over_and_all_else_is_taken_in_once_and_in_order(data: Any) -> None:
    count, workflows = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 6))
    intake = Intake(workflows)
    runs = intake.runs(count)
    intake.faults = data.draw(st.dictionaries(st.sampled_from(runs), FAULT, max_size=5))
    intake.quiet = frozenset(data.draw(st.sets(st.sampled_from([token for token, _ in runs]))))
    while intake.handled() < count:
        try:
            await intake.take(count)
            await intake.bisection.flush()
        except OperationFailure:  # it says nothing: the reader loads everything again, and tries again
            intake.deferral.taken_back()
    assert intake.taken == [run for run in runs if run not in intake.faults]
    assert intake.passed_over == [run for run in runs if run in intake.faults]


async def test_one_bad_change_among_a_thousand_costs_few_tries() -> None:
    intake = Intake(faults={("820500", 0): ValueError("cannot be stored")})
    await intake.take(1_000)
    assert intake.passed_over == [("820500", 0)]
    assert intake.tries < 1_000 / MOST_WRITES + 10


@pytest.mark.parametrize("error", [AutoReconnect("gone"), LeaseLost("another reader has moved the checkpoint")])
async def test_what_time_mends_or_another_reader_does_is_raised_and_nothing_passed_over(error: Exception) -> None:
    intake = Intake(faults={("820002", 0): error})
    with pytest.raises(type(error)):
        await intake.take(10)
    assert intake.passed_over == []


async def test_an_answer_that_tells_nothing_is_tried_again_before_anything_is_taken_apart() -> None:
    intake = Intake(faults={("820000", 0): VAGUE})
    for _ in range(VAGUE_TRIES - 1):
        with pytest.raises(OperationFailure):
            await intake.take(1)
    await intake.take(1)
    assert intake.passed_over == [("820000", 0)]


async def test_where_ending_at_once_is_forbidden_everything_is_queued() -> None:
    intake = Intake(is_forbidden_at_once=True)
    await intake.take(6)
    assert (intake.taken, intake.passed_over) == (intake.runs(6), [])


async def test_what_is_deferred_and_cannot_be_stored_is_taken_apart_with_what_follows() -> None:
    intake = Intake(quiet=frozenset({"820000", "820001"}), faults={("820001", 0): ValueError("cannot be stored")})
    intake.deferral.committed()
    await intake.bisection.take(events(2), None)
    assert intake.deferral.position is not None
    await intake.bisection.take(events(4)[2:], None)
    assert intake.taken == [("820000", 0), ("820002", 0), ("820003", 0)]
    assert intake.passed_over == [("820001", 0)]


class Died(BaseException):
    """The process ends here."""


async def test_what_every_reader_dies_of_is_passed_over_workflow_by_workflow() -> None:
    deadly = cast(Exception, Died())
    intake = Intake(workflows=2, faults={("820001", 1): deadly})
    deaths = 0
    while intake.handled() < 4:
        intake.trials.begin()
        try:
            await intake.take(4)
        except Died:
            deaths += 1
            intake.trials = Trials(cast(Any, intake), cast(Any, Clock()))
            intake.bisection = Bisection(*cast(Any, (intake, intake, intake, intake, intake.trials, Clock())))
    assert intake.taken == [run for run in intake.runs(4) if run != ("820001", 1)]
    assert (intake.passed_over, deaths <= 8) == ([("820001", 1)], True)
