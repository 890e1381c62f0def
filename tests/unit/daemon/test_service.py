"""Ending tasks that belong together, also when the one who ends them is ended in the midst of it."""

import asyncio
import gc
from typing import Any

import pytest

from daemon.service import cancelled, first_failure

AGAIN_S = 0.01


async def deaf(times: int) -> None:
    """Run for ever, and lose the question to end so many times."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not times:
                raise
            times -= 1


async def test_a_task_that_loses_the_question_is_asked_again() -> None:
    task = asyncio.create_task(deaf(3))
    await asyncio.sleep(0)
    await cancelled(task, again_s=AGAIN_S)
    assert task.cancelled()


async def test_nothing_is_left_running_when_the_one_who_ends_it_is_asked_to_end_again() -> None:
    children = [asyncio.create_task(deaf(5)), asyncio.create_task(deaf(0))]
    parent = asyncio.create_task(first_failure(*children, again_s=AGAIN_S))
    await asyncio.sleep(0)
    await cancelled(parent, again_s=AGAIN_S)  # asks every time its patience ends, just as the parent asks its children
    assert parent.cancelled()
    assert all(child.cancelled() for child in children)


async def test_what_one_of_them_raised_is_raised() -> None:
    async def fails() -> None:
        raise ValueError("first")

    other = asyncio.create_task(deaf(1))
    with pytest.raises(ValueError, match="first"):
        await first_failure(asyncio.create_task(fails()), other, again_s=AGAIN_S)
    assert other.cancelled()


async def test_what_fails_while_it_is_ended_is_not_reported_as_forgotten() -> None:
    async def fails_at_its_end() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("at its end") from None

    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    parent = asyncio.create_task(first_failure(asyncio.create_task(fails_at_its_end())))
    await asyncio.sleep(0)
    await cancelled(parent, again_s=AGAIN_S)
    del parent
    gc.collect()
    assert [each["message"] for each in reported if "never retrieved" in each["message"]] == []
