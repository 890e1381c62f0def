"""How many requests are at work at once, and what the others meet."""

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from daemon.api.capacity import AT_WORK, MOST_WAITING, Capacity

LONG_S = 3_600.0


class Held:
    """An application whose answers are held back until a test lets them go."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def turns() -> None:
    """Let everything go as far as it can without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)


def asked(capacity: Capacity, count: int) -> list["asyncio.Task[int]"]:
    """Ask ``count`` times; each task returns the status of its answer."""

    async def ask() -> int:
        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

        scope: dict[str, Any] = {"type": "http", "path": "/executions", "method": "GET", "headers": []}
        await capacity(scope, _nothing, send)
        return statuses[0]

    return [asyncio.create_task(ask()) for _ in range(count)]


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def ended(tasks: list["asyncio.Task[int]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_while_others_wait_a_place_is_given_on_only_after_a_rest() -> None:
    app = Held()
    tasks = asked(Capacity(app, (), rest_s=LONG_S), AT_WORK + 1)
    await turns()
    app.may_answer.set()
    await turns()
    assert (app.begun, [task.done() for task in tasks]) == (AT_WORK, [True] * AT_WORK + [False])
    await ended(tasks)


async def test_where_nobody_waits_nobody_rests() -> None:
    app = Held()
    app.may_answer.set()
    capacity = Capacity(app, (), rest_s=LONG_S)
    for _ in range(3 * AT_WORK):
        assert await asyncio.gather(*asked(capacity, 1)) == [200]


async def test_whoever_is_too_many_is_refused_after_a_moment() -> None:
    app = Held()
    tasks = asked(Capacity(app, (), refusal_s=0.0), AT_WORK + MOST_WAITING + 2)
    await turns()
    assert [task.result() for task in tasks if task.done()] == [503, 503]
    await ended(tasks)
    held_back = asked(Capacity(Held(), (), refusal_s=LONG_S), AT_WORK + MOST_WAITING + 2)
    await turns()
    assert not any(task.done() for task in held_back)
    await ended(held_back)
