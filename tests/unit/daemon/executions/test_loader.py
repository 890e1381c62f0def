"""When the loader polls the queue, and how much of it a poll reads."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.executions.job import Job
from daemon.executions.lanes import AHEAD, Lanes
from daemon.executions.loader import Loader, pause_after
from daemon.foundation import Signals
from daemon.pace import AS_SHIPPED
from daemon.poll import SHORTEST_S, Pause
from tests.support.jobs import NOW, job_of, workflow_of

WORKFLOW = workflow_of()


@pytest.mark.parametrize(
    ("is_complete", "rest_s", "is_told", "pause"),
    [
        (True, 0, True, Pause(1.0, gives_way=True)),  # at the next common moment
        (True, 0, False, Pause(AS_SHIPPED.poll_s)),  # several times a second
        (False, 0, True, Pause(SHORTEST_S)),  # more is due than fits: as soon as there is room
        (False, 0.3, True, Pause(0.3, 0.3)),  # a costly poll is followed by a rest
        (False, 60, False, Pause(1.0, 1.0)),
    ],
)
def test_the_pause_follows_from_what_a_poll_found(
    is_complete: bool, rest_s: float, is_told: bool, pause: Pause
) -> None:
    assert pause_after(is_complete, rest_s, is_told, AS_SHIPPED, 7.0) == pause


class Queue:
    """What MongoDB holds as queued: as many jobs as asked for if it is deep, else none."""

    def __init__(self) -> None:
        self.since: list[datetime | None] = []
        self.taken_over: list[list[int]] = []
        self.refreshes = 0
        self.signals = Signals()
        self.count = 0
        self.is_signalled_meanwhile = False

    async def take_over(self, lanes: Sequence[int]) -> None:
        self.taken_over.append(list(lanes))

    async def refresh(self) -> None:
        self.refreshes += 1

    async def find(
        self, lanes: Sequence[int], due: tuple[datetime | None, datetime], limit: int, left_out: Sequence[Any]
    ) -> tuple[list[Job], int]:
        self.since.append(due[0])
        if self.is_signalled_meanwhile:
            self.signals.queue.send()
        jobs = [
            job_of(WORKFLOW, triggered_by_entity_id=number, due_at=NOW, seq=number, lane=0)
            for number in range(min(self.count, limit))
        ]
        return jobs, len(jobs)

    async def find_others(self, lanes: Sequence[int], jobs: Sequence[Job], until: datetime) -> list[Job]:
        return []


class Slots:
    """Nothing waits for a slot."""

    waiting = 0

    def __init__(self) -> None:
        self.saturated: list[Any] = []


class Clock:
    """Moves by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


class Setup:
    """A loader of one lane, on the replica that reads."""

    def __init__(self) -> None:
        self.queue, self.lanes, self.slots, self.clock = Queue(), Lanes(capacity=10_000), Slots(), Clock()
        self.lanes.open(0)
        self.lanes.begin_hand_over()
        self.loader = Loader(
            self.queue,  # type: ignore[arg-type]
            self.lanes,
            self.slots,
            self.clock,  # type: ignore[arg-type]
            signals=self.queue.signals,
            is_told=lambda: True,
            pace=AS_SHIPPED,
        )


async def test_while_little_is_in_memory_each_poll_reads_everything_that_is_due() -> None:
    setup = Setup()
    for _ in range(2):
        await setup.loader.poll()
    assert setup.queue.since == [None, None]


async def test_while_much_is_in_memory_a_poll_reads_what_has_come_within_reach_since() -> None:
    setup = Setup()
    await setup.loader.poll()
    covered = setup.clock.at + AHEAD
    setup.lanes.hand_over([job_of(WORKFLOW, triggered_by_entity_id=n, due_at=NOW, seq=n, lane=0) for n in range(1_000)])
    await setup.loader.poll()
    assert setup.queue.since == [None, covered]


async def test_a_signal_makes_the_next_poll_read_everything_also_one_sent_during_a_poll() -> None:
    setup = Setup()
    setup.queue.is_signalled_meanwhile = True
    await setup.loader.poll()
    setup.lanes.hand_over([job_of(WORKFLOW, triggered_by_entity_id=n, due_at=NOW, seq=n, lane=0) for n in range(1_000)])
    setup.queue.is_signalled_meanwhile = False
    await setup.loader.poll()
    await setup.loader.poll()
    assert setup.queue.since[:2] == [None, None]
    assert setup.queue.since[2] is not None


async def test_the_switches_are_read_where_another_reader_may_have_committed_them() -> None:
    setup = Setup()
    await setup.loader.poll()  # the lane becomes direct
    await setup.loader.poll()
    assert setup.queue.refreshes == 1
    setup.lanes.end_hand_over()
    for _ in range(2):
        await setup.loader.poll()
    assert setup.queue.refreshes == 3


async def test_a_lane_that_is_new_is_taken_over_once_before_it_is_read() -> None:
    setup = Setup()
    setup.loader.add_lane(0)
    setup.loader.add_lane(1)  # lost again by now
    for _ in range(2):
        await setup.loader.poll()
    assert setup.queue.taken_over == [[0]]


async def test_what_is_left_in_mongodb_is_asked_for_again_after_a_rest() -> None:
    setup = Setup()
    setup.slots.saturated = ["a workflow"]
    pause = await setup.loader.poll()
    assert not pause.gives_way
    assert pause.longest_s >= SHORTEST_S
