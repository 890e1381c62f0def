"""Limit how many requests are at work at once, and for how long; others wait a little, then are refused.

While requests wait, a place rests before the next request gets it, and a refusal is delayed: however many clients ask,
and ask again at once, most of the event loop's time stays with the executions. Probes are never delayed. Endless
answers are counted by ``daemon.api.dashboard.feed``.
"""

import asyncio
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.api.problem import problem

AT_WORK: Final = 4
MOST_WAITING: Final = 60  # with all streams and all delayed answers to wrong tokens, fewer than connections
REST_S: Final = 0.025  # so at most 160 requests a second are answered under pressure, of about 2 ms each
REFUSAL_S: Final = 0.5
LONGEST_WAIT_S: Final = 5.0
LONGEST_S: Final = 45.0  # until an answer begins; the longest, a backtest, ends itself before
_RETRY: Final = {"Retry-After": "2"}


class Capacity:
    """ASGI middleware."""

    def __init__(
        self, app: ASGIApp, free_paths: Collection[str], *, rest_s: float = REST_S, refusal_s: float = REFUSAL_S
    ) -> None:
        """``free_paths`` are not counted. How long a rest and a refusal take is in seconds."""
        self._app = app
        self._free_paths = frozenset(free_paths)
        self._room = asyncio.Semaphore(AT_WORK)
        self._waiting = 0
        self._rest_s = rest_s
        self._refusal_s = refusal_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http" or scope["path"] in self._free_paths:
            await self._app(scope, receive, send)
        elif await self._admitted():
            await self._answer(scope, receive, send)
        else:
            await asyncio.sleep(self._refusal_s)
            words = f"more than {AT_WORK} requests are at work: try again in a moment"
            await problem(HTTPStatus.SERVICE_UNAVAILABLE, words, headers=_RETRY)(scope, receive, send)

    async def _admitted(self) -> bool:
        if self._waiting >= MOST_WAITING:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await self._room.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def beginning(message: Message) -> None:
            nonlocal is_begun
            if not is_begun:
                is_begun = True
                deadline.reschedule(None)
                self._pass_on()
            await send(message)

        deadline = asyncio.timeout(LONGEST_S)
        try:
            async with deadline:
                await self._app(scope, receive, beginning)
        except TimeoutError:
            if is_begun or not deadline.expired():
                raise
            words = f"the answer took longer than {LONGEST_S:g} s"
            await problem(HTTPStatus.SERVICE_UNAVAILABLE, words, headers=_RETRY)(scope, receive, beginning)
        finally:
            if not is_begun:
                self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().call_later(self._rest_s, self._room.release)
        else:
            self._room.release()
