"""Answers that may be large: made in a thread, one at a time, which rests after every slice of work.

So neither a reader nor many of them hold the event loop, or the interpreter's lock, for long.
"""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response

from daemon.admin.slices import Pace

Show = Callable[[Pace], Any]


class Answers:
    """Makes responses."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def json(self, show: Show, headers: Mapping[str, str] | None = None, status: int = HTTPStatus.OK) -> Response:
        """Return a response with what ``show`` makes: JSON data."""

        def make() -> bytes:
            return orjson.dumps(show(Pace()))

        async with self._lock:
            body = await asyncio.to_thread(make)
        return Response(body, status, dict(headers or {}), media_type="application/json")
