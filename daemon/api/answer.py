"""Make answers that may be large: one that takes longer than a slice of work is made in a thread, one at a time.

The thread rests after every slice, so that it never holds the event loop, or the interpreter's lock, for long. Small
answers, which most are, are made at once: a change of threads would take longer.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response

from daemon.admin.slices import SLICE_S, ThreadPace

Show = Callable[[Callable[[], None]], Any]


class _TakesLonger(Exception):
    pass


class Answers:
    """Makes responses."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def json(self, show: Show, headers: Mapping[str, str] | None = None, status: int = HTTPStatus.OK) -> Response:
        """Return a response with the JSON data that ``show`` returns; ``show`` calls its argument before each part."""
        try:
            body = orjson.dumps(show(_within_a_slice()))
        except _TakesLonger:
            async with self._lock:
                body = await asyncio.to_thread(lambda: orjson.dumps(show(ThreadPace())))
        return Response(body, status, dict(headers or {}), media_type="application/json")


def _within_a_slice() -> Callable[[], None]:
    until = time.perf_counter() + SLICE_S

    def check() -> None:
        if time.perf_counter() > until:
            raise _TakesLonger

    return check
