"""Slots and the queue for them, under whatever is asked of them: limits hold, turns are fair, nobody starves."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.executions.job import Job
from daemon.executions.slot_queue import MOST_WAITING, SlotQueue
from daemon.executions.slots import Key, Limit, Slots, Taken
from tests.support.jobs import job_of

AT_ONCE: Final = 4
ONE: Final[Key] = ("host", "one")
OTHER: Final[Key] = ("host", "other")
FREE: Final[Key] = ("unlimited", None)


def taken(found: Taken | float) -> Taken:
    assert isinstance(found, Taken)
    return found


def test_what_is_not_limited_is_limited_by_all_steps_together() -> None:
    slots = Slots(2, {})
    held = [taken(slots.take([FREE], 0)) for _ in range(2)]
    assert (slots.take([FREE], 0), slots.is_full) == (math.inf, True)
    slots.release(held[0])
    assert isinstance(slots.take([FREE], 0), Taken)


def test_each_host_has_a_limit_of_its_own() -> None:
    slots = Slots(AT_ONCE, {"host": Limit(at_once=1)})
    held = taken(slots.take([ONE], 0))
    assert slots.take([ONE], 0) == math.inf
    assert isinstance(slots.take([OTHER], 0), Taken)
    slots.release(held)
    assert isinstance(slots.take([ONE], 0), Taken)


def test_a_rate_says_when_the_next_step_may_begin() -> None:
    slots = Slots(AT_ONCE, {"host": Limit(per_second=2)})
    for now in (0.0, 0.3):
        slots.release(taken(slots.take([ONE], now)))
    assert slots.take([ONE], 0.9) == 1.0
    assert isinstance(slots.take([ONE], 1.0), Taken)


@pytest.mark.parametrize(("per_second", "until"), [(0.1, 10.0), (0.5, 2.0), (1.0, 1.0)])
def test_a_rate_below_one_a_second_is_kept_over_a_longer_time(per_second: float, until: float) -> None:
    slots = Slots(AT_ONCE, {"host": Limit(per_second=per_second)})
    slots.release(taken(slots.take([ONE], 0)))
    assert slots.take([ONE], 0.999) == until


def test_a_step_that_has_not_begun_counts_for_no_rate() -> None:
    slots = Slots(AT_ONCE, {"host": Limit(per_second=1)})
    slots.release(taken(slots.take([ONE], 0)), has_begun=False)
    assert isinstance(slots.take([ONE], 0), Taken)


def test_a_step_that_finds_one_limit_full_takes_nothing_of_the_others() -> None:
    slots = Slots(AT_ONCE, {"host": Limit(at_once=1), "email": Limit(at_once=1)})
    slots.release(taken(slots.take([ONE], 0)))
    held = taken(slots.take([ONE], 0))
    assert slots.take([("email", None), ONE], 0) == math.inf
    assert isinstance(slots.take([("email", None)], 0), Taken)
    slots.release(held)


def test_slots_are_released_once() -> None:
    slots = Slots(AT_ONCE, {})
    held = taken(slots.take([FREE], 0))
    slots.release(held)
    with pytest.raises(KeyError):
        slots.release(held)


def keys_for(job: Job, *more: Key) -> tuple[Key, ...]:
    return (("workflow", job.workflow_id), *more)


def test_lines_take_turns() -> None:
    slots = Slots(1, {})
    queue = SlotQueue(slots)
    for workflow in ("a", "a", "a", "b"):
        job = job_of(workflow_id=workflow)
        queue.put(job, keys_for(job))
    turns: list[str] = []
    while queue.waiting:
        for job, held in queue.next(0):
            turns.append(job.workflow_id)
            slots.release(held)
    assert turns == ["a", "b", "a", "a"]


def test_a_line_for_a_full_host_keeps_its_place_and_holds_up_no_other_of_its_workflow() -> None:
    slots = Slots(AT_ONCE, {"host": Limit(at_once=1)})
    queue = SlotQueue(slots)
    jobs = [job_of(workflow_id=workflow) for workflow in ("a", "b", "b", "a")]
    for job, host in zip(jobs, (ONE, ONE, OTHER, ONE), strict=True):
        queue.put(job, keys_for(job, host))
    first = queue.next(0)
    assert [job for job, _ in first] == [jobs[0], jobs[2]]
    slots.release(first[0][1])
    assert [job for job, _ in queue.next(0)] == [jobs[1]]


def test_the_queue_tells_when_a_rate_lets_the_next_one_begin() -> None:
    slots = Slots(AT_ONCE, {"host": Limit(per_second=1)})
    queue = SlotQueue(slots)
    jobs = [job_of(), job_of()]
    for job in jobs:
        queue.put(job, keys_for(job, ONE))
    assert len(queue.next(5)) == 1
    assert (queue.next_at, queue.has_turn(5.9), queue.has_turn(6)) == (6, False, True)


def test_while_all_slots_are_taken_nothing_is_due_at_any_time() -> None:
    slots = Slots(1, {"host": Limit(per_second=1)})
    queue = SlotQueue(slots)
    for job in (job_of(), job_of()):
        queue.put(job, keys_for(job, ONE))
    queue.next(0)
    assert (queue.next_at, queue.has_turn(100)) == (math.inf, False)


def test_what_a_workflow_has_too_many_of_is_refused_until_half_are_gone() -> None:
    slots = Slots(MOST_WAITING, {})
    queue = SlotQueue(slots)
    job, other = job_of(), job_of(workflow_id="other")
    assert all(queue.put(job, keys_for(job)) for _ in range(MOST_WAITING))
    assert not queue.put(job, keys_for(job, ONE))
    assert queue.saturated == ["w"]
    assert queue.put(other, keys_for(other))
    queue.next(0)
    assert (queue.saturated, queue.put(job, keys_for(job))) == ([], True)


def test_what_waits_in_a_lane_is_dropped_with_it() -> None:
    queue = SlotQueue(Slots(AT_ONCE, {}))
    jobs = [job_of(lane=lane) for lane in (1, 2, 1)]
    for job in jobs:
        queue.put(job, keys_for(job))
    assert queue.drop(1) == [jobs[0], jobs[2]]
    assert [job for job, _ in queue.next(0)] == [jobs[1]]


@dataclass
class _Running:
    job: Job
    keys: tuple[Key, ...]
    held: Taken
    began_at: float


class Crowd(RuleBasedStateMachine):
    """Steps of some workflows that need some hosts come, get their slots, end; time passes."""

    @initialize(
        at_once=st.none() | st.integers(1, 3),
        per_second=st.none() | st.sampled_from([0.4, 1.0, 2.5, 3.0]),
        of_workflow=st.none() | st.integers(1, 3),
    )
    def limit(self, at_once: int | None, per_second: float | None, of_workflow: int | None) -> None:
        self.limits = {"host": Limit(at_once, per_second), "workflow": Limit(of_workflow)}
        self.slots = Slots(AT_ONCE, self.limits)
        self.queue = SlotQueue(self.slots)
        self.now = 0.0
        self.running: list[_Running] = []
        self.begun: list[tuple[Key, float]] = []
        self.lines: dict[tuple[Key, ...], int] = {}  # how many wait
        self.passed: Counter[tuple[tuple[Key, ...], tuple[Key, ...]]] = Counter()  # turns of one while another waits
        self.needs: dict[int, tuple[Key, ...]] = {}

    @rule(workflow=st.sampled_from("abc"), host=st.sampled_from([ONE, OTHER, FREE]), count=st.integers(1, 4))
    def come(self, workflow: str, host: Key, count: int) -> None:
        for _ in range(count):
            job = job_of(workflow_id=workflow)
            keys = keys_for(job, host)
            assert self.queue.put(job, keys)
            self.needs[id(job)] = keys
            self.lines[keys] = self.lines.get(keys, 0) + 1

    @rule(seconds=st.floats(0, 3))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def start(self) -> None:
        for job, held in self.queue.next(self.now):
            keys = self.needs[id(job)]
            self.running.append(_Running(job, keys, held, self.now))
            self.begun += [(key, self.now) for key in keys]
            self._turn_of(keys)

    def _turn_of(self, keys: tuple[Key, ...]) -> None:
        """Note a turn; those of equal needs, another workflow, must not be passed over twice."""
        self.lines[keys] -= 1
        for other, waiting in self.lines.items():
            if other[1:] == keys[1:] and other != keys and waiting and self.limits["workflow"] == Limit():
                self.passed[other, keys] += 1
                assert self.passed[other, keys] <= 1, f"{keys} had two turns while {other} waited"
            self.passed[keys, other] = 0

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, AT_ONCE - 1), has_begun=st.booleans())
    def end(self, which: int, has_begun: bool) -> None:
        ended = self.running.pop(which % len(self.running))
        self.slots.release(ended.held, has_begun=has_begun)
        if not has_begun:
            for key in ended.keys:
                self.begun.remove((key, ended.began_at))

    @invariant()
    def limits_hold(self) -> None:
        assert len(self.running) <= AT_ONCE
        active = Counter(key for each in self.running for key in each.keys)
        for key, count in active.items():
            at_once = self.limits.get(key[0], Limit()).at_once
            assert at_once is None or count <= at_once
        for key in (ONE, OTHER):
            rate = self.limits["host"].per_second
            starts = [at for begun, at in self.begun if begun == key]
            if rate is not None:
                for first in starts:
                    within = sum(first <= at < first + 1 for at in starts)
                    assert within <= math.ceil(rate)

    def teardown(self) -> None:
        """Nobody starves: once steps end and time passes, all that wait have had their turn."""
        for _ in range(3 * sum(self.lines.values()) + 1):
            self.now += 3
            self.start()
            while self.running:
                self.end(0, has_begun=True)
        assert self.queue.waiting == sum(self.lines.values()) == 0
        assert not self.slots.is_full


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
