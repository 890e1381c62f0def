"""Send a part of a page to browsers whenever it reads differently: server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final

from fastapi import Response
from fastapi.responses import StreamingResponse
from pymongo.errors import PyMongoError

from daemon.beat import is_set_within

LOOK_S: Final = 1.0
MOST_STREAMS: Final = 50
_QUIET_S: Final = 15.0  # after so long a comment is sent, so that a connection nobody holds any more is found
_LONGEST_S: Final = 600.0  # then the browser asks again, and is asked again who it is


class Feed:
    """One part of a page. Every browser looks for itself, once a second, until the feed is closed."""

    def __init__(self, render: Callable[[], Awaitable[str]]) -> None:
        """``render`` returns the part as it reads now."""
        self._render = render
        self._streams = 0
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End all streams: a server that stops waits for what it still sends."""
        self._closed.set()

    def response(self) -> Response:
        """Return the stream for one browser."""
        if self._streams >= MOST_STREAMS or self._closed.is_set():
            return Response("too many streams are open", HTTPStatus.SERVICE_UNAVAILABLE)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._messages(), media_type="text/event-stream", headers=headers)

    async def _messages(self) -> AsyncIterator[bytes]:
        self._streams += 1
        until, before, spoke_at = time.monotonic() + _LONGEST_S, "", time.monotonic()
        try:
            while time.monotonic() < until and not self._closed.is_set():
                now = await self._now(before)
                if now != before:
                    yield b"".join(b"data: %s\n" % line.encode() for line in now.splitlines()) + b"\n"
                    before, spoke_at = now, time.monotonic()
                elif time.monotonic() - spoke_at > _QUIET_S:
                    yield b":\n\n"
                    spoke_at = time.monotonic()
                await is_set_within(self._closed, LOOK_S)
        finally:
            self._streams -= 1

    async def _now(self, before: str) -> str:
        try:
            return await self._render()
        except PyMongoError:  # the page stays as it was; /readyz and the log say what is wrong
            return before
