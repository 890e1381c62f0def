"""Regular looks take place at common moments, out of the way of what must not wait, and never not at all."""

import asyncio
from datetime import timedelta

import pytest

from daemon.beat import Beat, is_due_soon, is_set_within, until_beat
from tests.support.jobs import NOW
from tests.support.poll import PATIENCE_S

PERIOD_S = 0.02


@pytest.mark.parametrize(("now_s", "until_s"), [(3.25, 0.75), (3.0, 1.0), (3.5, 0.5), (3.75, 1.25)])
def test_beats_are_multiples_of_their_period_and_never_close_together(now_s: float, until_s: float) -> None:
    assert until_beat(1.0, now_s) == until_s


@pytest.mark.parametrize(("in_ms", "is_soon"), [(-1_000, True), (0, True), (10, True), (11, False), (None, False)])
def test_looks_give_way_to_a_step_that_is_due_in_a_moment(in_ms: int | None, is_soon: bool) -> None:
    assert is_due_soon(None if in_ms is None else NOW + timedelta(milliseconds=in_ms), NOW) is is_soon


async def test_a_look_waits_until_what_is_at_work_has_ended() -> None:
    left = 3

    def is_busy() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    await Beat(is_busy).next(PERIOD_S)
    assert left == -1


async def test_where_there_is_always_work_looks_take_place_all_the_same() -> None:
    asked = 0

    def is_busy() -> bool:
        nonlocal asked
        asked += 1
        return True

    async with asyncio.timeout(PATIENCE_S):
        await Beat(is_busy).next(PERIOD_S)
    assert asked > 1


async def test_who_is_nudged_waits_for_nobody() -> None:
    nudge = asyncio.Event()
    nudge.set()
    async with asyncio.timeout(PATIENCE_S):
        await Beat(lambda: True).next(3600, nudge)


async def test_who_is_nudged_while_it_gives_way_goes_on() -> None:
    nudge = asyncio.Event()
    asked = 0

    def is_busy() -> bool:
        nonlocal asked
        asked += 1
        nudge.set()
        return True

    await Beat(is_busy).next(PERIOD_S, nudge)
    assert asked == 1


async def test_an_event_that_is_not_set_is_waited_for_no_longer_than_said() -> None:
    event = asyncio.Event()
    assert await is_set_within(event, 0.001) is False
    event.set()
    assert await is_set_within(event, 3600) is True
