"""When a service that polls does so: at its start, after its pause, when signalled, and after an error."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from pymongo.errors import AutoReconnect

from daemon.event import Event
from daemon.poll import Pause, Signal
from daemon.poller import Poller
from tests.support.events import Events
from tests.support.poll import REPEAT_S
from tests.support.signal import Signal as Change

NEVER = Pause(3600)


class Polls:
    """Counts polls; ``then`` is called at each and returns the pause."""

    def __init__(self, then: Callable[[int], Pause] = lambda count: NEVER) -> None:
        self.count = 0
        self._then = then
        self._change = Change()

    async def poll(self) -> Pause:
        self.count += 1
        self._change.changed()
        return self._then(self.count)

    async def reach(self, count: int) -> None:
        await self._change.until(lambda: self.count >= count)


@asynccontextmanager
async def started(poller: Poller) -> AsyncIterator[None]:
    dead: list[str] = []
    poller.watch(dead.append)
    await poller.start()
    try:
        yield
    finally:
        await poller.stop()
    assert dead == []


async def test_the_first_poll_is_at_once_and_the_next_after_the_pause() -> None:
    polls = Polls(lambda count: Pause(0.001) if count < 3 else NEVER)
    async with started(Poller("test", polls.poll)):
        await polls.reach(3)


async def test_a_signal_during_a_poll_makes_another_one_follow() -> None:
    signal = Signal()

    def then(count: int) -> Pause:
        if count < 3:
            signal.send()
        return Pause(3600, shortest_s=0)

    polls = Polls(then)
    async with started(Poller("test", polls.poll, signal=signal)):
        await polls.reach(3)
    assert polls.count == 3


async def test_a_burst_of_signals_is_followed_at_the_shortest_pause() -> None:
    signal = Signal()
    polls = Polls(lambda count: Pause(3600, shortest_s=3600 if count > 1 else 0))
    async with started(Poller("test", polls.poll, signal=signal)):
        for count in (1, 2):
            await polls.reach(count)
            signal.send()
        for _ in range(10):
            await asyncio.sleep(0)
    assert polls.count == 2


async def test_a_first_poll_that_is_put_off_comes_with_a_signal() -> None:
    signal = Signal()
    polls = Polls()
    async with started(Poller("test", polls.poll, signal=signal, first_s=3600)):
        await asyncio.sleep(0)
        assert polls.count == 0
        signal.send()
        await polls.reach(1)


async def test_each_start_begins_anew() -> None:
    begun: list[int] = []
    polls = Polls()
    poller = Poller("test", polls.poll, begin=lambda: begun.append(polls.count))
    for count in (1, 2):
        async with started(poller):
            await polls.reach(count)
    assert begun == [0, 1]


async def test_an_error_that_may_pass_is_told_and_the_poll_tried_again(events: Events) -> None:
    def fails_once(count: int) -> Pause:
        if count == 1:
            raise AutoReconnect("gone")
        return NEVER

    polls = Polls(fails_once)
    async with started(Poller("test", polls.poll, retry_s=0.001)):
        await polls.reach(2)
    assert [fields["during"] for fields in events.of(Event.STORE_UNAVAILABLE)] == ["test"]


async def test_any_other_error_is_the_death_of_the_service() -> None:
    def fails(count: int) -> Pause:
        raise RuntimeError("broken")

    died = asyncio.Event()
    poller = Poller("test", Polls(fails).poll)
    poller.watch(lambda name: died.set())
    await poller.start()
    async with asyncio.timeout(REPEAT_S):
        await died.wait()
    await poller.stop()


class Work:
    """Steps at work for the next ``left`` questions."""

    def __init__(self, left: int) -> None:
        self.left = left

    def is_busy(self) -> bool:
        self.left -= 1
        return self.left >= 0


async def test_a_regular_poll_waits_until_what_is_at_work_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.poller._LATEST_S", 3600)
    work = Work(3)
    polls = Polls(lambda count: Pause(0, gives_way=True) if count == 1 else NEVER)
    async with started(Poller("test", polls.poll, is_busy=work.is_busy)):
        await polls.reach(2)
    assert work.left == -1


async def test_where_there_is_always_work_polls_take_place_all_the_same() -> None:
    work = Work(1_000_000)
    polls = Polls(lambda count: Pause(0, gives_way=True))
    async with started(Poller("test", polls.poll, is_busy=work.is_busy)):
        await polls.reach(2)
    assert work.left < 1_000_000 - 1


async def test_a_signalled_poll_gives_way_to_nobody() -> None:
    signal, work = Signal(), Work(1_000_000)
    polls = Polls(lambda count: Pause(3600, shortest_s=0, gives_way=True))
    async with started(Poller("test", polls.poll, signal=signal, is_busy=work.is_busy)):
        await polls.reach(1)
        signal.send()
        await polls.reach(2)
    assert work.left == 1_000_000
