"""The queue in memory: order, blocking, modes and the hand-over between them."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daemon.executions.job import Job
from daemon.executions.lanes import Lanes
from tests.support.jobs import NOW, job_of, workflow_of

WORKFLOW = workflow_of()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def job(entity: str = "ada", *, due: float = 0, seq: int = 1, lane: int = 0, step: int = 0) -> Job:
    return job_of(WORKFLOW, triggered_by_entity_id=entity, due_at=at(due), seq=seq, lane=lane, step=step)


def lanes_with(*jobs: Job, capacity: int = 100) -> Lanes:
    lanes = Lanes(capacity=capacity)
    lanes.open(0)
    lanes.begin_hand_over()
    for each in jobs:
        lanes.add(each)
    return lanes


def caught_up(capacity: int = 100) -> Lanes:
    """Lanes of which lane 0 is direct."""
    lanes = lanes_with(capacity=capacity)
    lanes.begin_poll()
    lanes.end_poll([], is_complete=True)
    return lanes


def test_due_jobs_of_different_entities_start_together_in_order_of_due_time_and_number() -> None:
    third, first, second = job("c", due=1, seq=1), job("a", due=0, seq=2), job("b", due=0, seq=3)
    assert lanes_with(third, first, second).take(at(2), 10) == [first, second, third]


def preferring(lanes: Lanes, *preferred: Job) -> None:
    lanes.begin_poll()
    lanes.end_poll([], preferred=preferred, is_complete=False)


def test_what_is_preferred_goes_before_a_crowd_that_was_due_earlier() -> None:
    crowd = [job(f"entity {seq}", seq=seq) for seq in range(5)]
    lanes = lanes_with(*crowd)
    late = job("late", seq=9)
    preferring(lanes, late)
    assert lanes.take(NOW, 2) == [late, crowd[0]]


def test_what_is_preferred_does_not_overtake_the_earlier_job_of_its_entity() -> None:
    crowd = [job(f"entity {seq}", seq=seq) for seq in range(3)]
    earlier, late = job("ada", seq=8), job("ada", seq=9)
    lanes = lanes_with(*crowd, earlier)
    preferring(lanes, late, earlier)
    taken = lanes.take(NOW, 10)
    assert taken == [earlier, *crowd]
    lanes.release(earlier)
    assert lanes.take(NOW, 10) == [late]


def test_a_job_that_was_in_memory_when_it_was_preferred_is_taken_once() -> None:
    first, second = job("ada", seq=1), job("bob", seq=2)
    lanes = lanes_with(first, second)
    preferring(lanes, second)
    preferring(lanes, second)
    assert lanes.take(NOW, 10) == [second, first]
    lanes.release(second)
    lanes.release(first)
    assert lanes.take(NOW, 10) == []
    assert (len(lanes), lanes.next_due_at()) == (0, None)


def test_jobs_of_one_entity_start_one_at_a_time() -> None:
    first, second = job(seq=1), job(seq=2)
    lanes = lanes_with(second, first)
    assert lanes.take(NOW, 10) == [first]
    assert lanes.take(NOW, 10) == []
    lanes.release(first)
    assert lanes.take(NOW, 10) == [second]


def test_what_is_given_back_is_not_overtaken_by_what_comes_after_it() -> None:
    first, second = job(seq=1), job(seq=2)
    lanes = lanes_with(first, second)
    lanes.take(NOW, 10)
    lanes.give_back(first)
    assert lanes.take(NOW, 10) == []
    lanes.begin_poll()
    lanes.end_poll([job(seq=1), job(seq=2)], is_complete=True)
    assert [each.seq for each in lanes.take(NOW, 10)] == [1]


def test_a_poll_that_was_under_way_brings_nothing_of_a_lane_that_was_given_back() -> None:
    first = job(seq=1)
    lanes = lanes_with(first)
    lanes.take(NOW, 10)
    lanes.begin_poll()
    lanes.give_back(first)
    lanes.end_poll([job(seq=1), job(seq=2)], is_complete=True)
    assert lanes.take(NOW, 10) == []
    assert lanes.polling == {0}


def test_what_runs_is_kept_when_its_lane_is_given_back() -> None:
    running, queued = job("a", seq=1), job("b", seq=2)
    lanes = lanes_with(running, queued)
    assert lanes.take(NOW, 10) == [running, queued]
    lanes.give_back(queued)
    lanes.add(job("a", seq=1))
    assert lanes.take(NOW, 10) == []


def test_what_follows_a_step_comes_after_what_was_due_before_it() -> None:
    first, other, following = job(seq=1), job(seq=2), job(seq=1, due=5, step=1)
    lanes = lanes_with(first, other)
    lanes.take(NOW, 10)
    lanes.release(first, following)
    assert lanes.take(at(5), 10) == [other]


def test_a_step_that_waits_for_a_delay_does_not_block_its_entity() -> None:
    delayed, later = job(seq=1, due=60), job(seq=2)
    assert lanes_with(delayed, later).take(NOW, 10) == [later]


def test_nothing_is_taken_before_it_is_due() -> None:
    lanes = lanes_with(job(due=1))
    assert lanes.take(at(0.999), 10) == []
    assert lanes.next_due_at() == at(1)


def test_a_job_is_queued_once_however_often_it_is_found() -> None:
    waiting = job()
    lanes = lanes_with(waiting, waiting)
    assert lanes.take(NOW, 10) == [waiting]
    lanes.release(waiting)
    assert lanes.take(NOW, 10) == []


def test_nothing_of_a_retired_lane_starts_and_what_runs_may_end() -> None:
    running, waiting = job("a"), job("b")
    lanes = lanes_with(running)
    lanes.take(NOW, 10)
    lanes.add(waiting)
    lanes.retire(0)
    assert lanes.take(NOW, 10) == []
    assert not lanes.is_idle(0)
    lanes.release(running, job("a", step=1))
    assert lanes.is_idle(0)
    assert lanes.take(at(9), 10) == []


def test_a_closed_lane_is_forgotten() -> None:
    lanes = lanes_with(job("a"), job("b"))
    lanes.close(0)
    assert (len(lanes), lanes.owned) == (0, frozenset())


def test_a_lane_that_comes_back_runs_an_entity_only_after_its_old_step_has_ended() -> None:
    old = job(seq=1)
    lanes = lanes_with(old)
    lanes.take(NOW, 10)
    lanes.close(0)
    lanes.open(0)
    lanes.add(again := job(seq=2))
    assert lanes.take(NOW, 10) == []
    lanes.release(old)
    assert lanes.take(NOW, 10) == [again]


def test_a_lane_that_polls_takes_nothing_from_the_reader() -> None:
    lanes = lanes_with()
    lanes.hand_over([job()])
    assert len(lanes) == 0


def test_a_lane_is_direct_once_a_poll_has_caught_up() -> None:
    lanes = caught_up()
    lanes.hand_over([handed := job()])
    assert lanes.take(NOW, 10) == [handed]


def test_a_lane_goes_on_polling_while_the_reader_is_elsewhere() -> None:
    lanes = lanes_with()
    lanes.end_hand_over()
    lanes.begin_poll()
    lanes.end_poll([], is_complete=True)
    assert lanes.polling == {0}


def test_a_reader_that_came_during_a_poll_leaves_the_lane_polling() -> None:
    lanes = lanes_with()
    lanes.begin_poll()
    lanes.begin_hand_over()
    lanes.end_poll([], is_complete=True)
    assert lanes.polling == {0}


def test_a_lane_goes_on_polling_while_more_is_due_than_a_poll_brought() -> None:
    lanes = lanes_with()
    lanes.begin_poll()
    lanes.end_poll([job()], is_complete=False)
    assert lanes.polling == {0}


def test_what_is_committed_while_a_poll_is_under_way_is_not_missed() -> None:
    lanes = lanes_with()
    lanes.begin_poll()
    lanes.hand_over([late := job()])
    lanes.end_poll([], is_complete=True)
    assert lanes.take(NOW, 10) == [late]


def test_a_reader_that_was_lost_during_a_poll_leaves_the_lane_polling() -> None:
    lanes = lanes_with()
    lanes.begin_poll()
    lanes.end_hand_over()
    lanes.end_poll([], is_complete=True)
    assert lanes.polling == {0}


def test_a_lane_that_overflows_polls_again_and_takes_nothing_out_of_order() -> None:
    lanes = caught_up(capacity=1)
    first, left_out = job("a", seq=1), job("b", seq=2)
    lanes.hand_over([first, left_out])
    assert lanes.polling == {0}
    assert lanes.take(NOW, 10) == [first]


def test_a_job_that_is_set_aside_is_not_found_again_and_does_not_count_as_load() -> None:
    odd = job(seq=1)
    lanes = lanes_with(odd)
    lanes.take(NOW, 10)
    lanes.set_aside(odd)
    lanes.add(odd)
    assert (len(lanes), lanes.known) == (0, 1)
    lanes.add(other := job(seq=2))
    assert lanes.take(NOW, 10) == [other]


class Queue(RuleBasedStateMachine):
    """A reader that commits, polls that overlap, steps that end: nothing is lost, doubled or out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes(capacity=4)
        self.lanes.open(0)
        self.stored: dict[int, Job] = {}  # what MongoDB holds as queued, by number
        self.found: list[Job] | None = None  # what the poll under way has read
        self.preferred: list[Job] = []  # what it prefers: all that is stored of an entity
        self.running: list[Job] = []
        self.ran: dict[str, list[int]] = {}
        self.seq = 0

    @rule(entities=st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
    def commit(self, entities: list[str]) -> None:
        jobs = []
        for entity in entities:
            self.seq += 1
            jobs.append(job(entity, due=self.seq / 1000, seq=self.seq))
        self.stored |= {each.seq: each for each in jobs}
        self.lanes.hand_over(jobs)

    @precondition(lambda self: self.found is None)
    @rule(preferred=st.sampled_from(["", "a", "b", "c"]))
    def begin_poll(self, preferred: str = "") -> None:
        self.lanes.begin_poll()
        self.found = [self.stored[seq] for seq in sorted(self.stored)][:6]
        self.preferred = [each for each in self.stored.values() if each.entity_id == preferred]

    @precondition(lambda self: self.found is not None)
    @rule()
    def end_poll(self) -> None:
        assert self.found is not None
        is_complete = len(self.found) < 6
        self.lanes.end_poll(self.found, preferred=self.preferred, is_complete=is_complete)
        self.found = None

    @rule(is_here=st.booleans())
    def move_reader(self, is_here: bool) -> None:
        if is_here:
            self.lanes.begin_hand_over()
        else:
            self.lanes.end_hand_over()

    @rule(limit=st.integers(1, 5))
    def take(self, limit: int) -> None:
        self.running += (taken := self.lanes.take(at(3600), limit))
        for each in taken:
            self.ran.setdefault(str(each.entity_id), []).append(each.seq)

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def end(self, data: Any) -> None:
        ended = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        del self.stored[ended.seq]
        self.lanes.release(ended)

    @invariant()
    def each_entity_ran_every_step_once_and_in_order(self) -> None:
        for numbers in self.ran.values():
            assert numbers == sorted(set(numbers))

    @invariant()
    def no_entity_runs_twice_at_once(self) -> None:
        entities = [each.entity_id for each in self.running]
        assert len(entities) == len(set(entities))

    def teardown(self) -> None:
        """However it went, polling alone brings everything that is still stored."""
        self.found = None
        self.lanes.end_hand_over()
        for _ in range(3 * len(self.stored) + 3):
            self.begin_poll()
            self.end_poll()
            self.take(5)
            for each in self.running:
                del self.stored[each.seq]
                self.lanes.release(each)
            self.running = []
        assert not self.stored
        assert sum(map(len, self.ran.values())) == self.seq
        self.each_entity_ran_every_step_once_and_in_order()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
