"""Regular polls take place at common moments, and a signal is neither lost nor counted twice."""

import asyncio
from datetime import timedelta

import pytest

from daemon.poll import Signal, is_due_soon, is_set_within, regular, until_common
from tests.support.jobs import NOW


@pytest.mark.parametrize(("now_s", "until_s"), [(3.25, 0.75), (3.0, 1.0), (3.5, 0.5), (3.75, 1.25)])
def test_common_moments_are_multiples_of_their_period_and_never_close_together(now_s: float, until_s: float) -> None:
    assert until_common(1.0, now_s) == until_s


def test_a_regular_poll_is_at_a_common_moment_and_gives_way() -> None:
    pause = regular(2.0, 5.0)
    assert (pause.longest_s, pause.gives_way) == (1.0, True)


@pytest.mark.parametrize(("in_ms", "is_soon"), [(-1_000, True), (0, True), (10, True), (11, False), (None, False)])
def test_polls_give_way_to_a_step_that_is_due_in_a_moment(in_ms: int | None, is_soon: bool) -> None:
    assert is_due_soon(None if in_ms is None else NOW + timedelta(milliseconds=in_ms), NOW) is is_soon


async def test_a_signal_is_taken_once_however_often_it_was_sent() -> None:
    signal = Signal()
    signal.send()
    signal.send()
    assert signal.count == 2
    assert await signal.within(3600)
    assert signal.take()
    assert not signal.take()
    assert not await signal.within(0.001)


async def test_an_event_that_is_not_set_is_waited_for_no_longer_than_said() -> None:
    event = asyncio.Event()
    assert await is_set_within(event, 0.001) is False
    event.set()
    assert await is_set_within(event, 3600) is True
