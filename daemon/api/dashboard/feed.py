"""Send a part of a page to browsers whenever it changes: server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from fastapi import Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from pymongo.errors import PyMongoError
from starlette.types import Receive, Scope, Send

from daemon.poll import is_set_within

LOOK_S: Final = 1.0
MOST_STREAMS: Final = 50
_QUIET_S: Final = 15.0  # then a comment is sent, which finds out whether the connection still exists
_LONGEST_S: Final = 60.0  # then the browser connects anew, and its cookie is checked again


class Feed:
    """One part of a page, rendered once a second for all browsers that listen, until the feed is closed."""

    def __init__(self, render: Callable[[], Awaitable[str]]) -> None:
        """``render`` returns the part as it reads now."""
        self._render = render
        self._streams = 0
        self._closed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._text, self._rendered_at = "", -LOOK_S

    def close(self) -> None:
        """End all streams: a server that stops waits for its answers."""
        self._closed.set()

    def response(self) -> Response:
        """Return the stream for one browser; it is refused when it begins if there is no room."""
        return _Stream(self)

    def enter(self) -> bool:
        """Count a stream that begins; return False where there are too many."""
        if self._streams >= MOST_STREAMS or self._closed.is_set():
            return False
        self._streams += 1
        return True

    def leave(self) -> None:
        """Count a stream that has ended."""
        self._streams -= 1

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield the messages for one browser."""
        until, before, spoke_at = time.monotonic() + _LONGEST_S, "", time.monotonic()
        while time.monotonic() < until and not self._closed.is_set():
            now = await self._now()
            if now != before:
                yield b"".join(b"data: %s\n" % line.encode() for line in now.splitlines()) + b"\n"
                before, spoke_at = now, time.monotonic()
            elif time.monotonic() - spoke_at > _QUIET_S:
                yield b":\n\n"
                spoke_at = time.monotonic()
            await is_set_within(self._closed, LOOK_S)

    async def _now(self) -> str:
        """Return the current part; the first call after a second renders it for all browsers."""
        async with self._lock:
            if time.monotonic() - self._rendered_at >= LOOK_S:
                with suppress(PyMongoError):  # the page stays as it was; /readyz and the log name the fault
                    self._text = await self._render()
                self._rendered_at = time.monotonic()
            return self._text


class _Stream(StreamingResponse):
    def __init__(self, feed: Feed) -> None:
        super().__init__(feed.messages(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, if there is room; no other task runs between the check and the count."""
        if not self._feed.enter():
            full = PlainTextResponse("too many streams are open", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"})
            await full(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave()
