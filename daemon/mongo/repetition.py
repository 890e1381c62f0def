"""Repeat calls that MongoDB does not answer at once: a daemon may start in the middle of an election."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pymongo.errors import PyMongoError

from daemon.event import Event
from daemon.mongo.failure import is_transient
from daemon.telemetry import emit

REPEAT_S: Final = 15.0
PAUSE_S: Final = 1.0


async def repeatedly(
    work: Callable[[], Awaitable[Any]], *, repeat_s: float = REPEAT_S, pause_s: float = PAUSE_S
) -> None:
    """Do ``work``, and repeat it for a while after transient errors; then raise the driver's error."""
    until = time.monotonic() + repeat_s
    while True:
        try:
            await work()
        except PyMongoError as error:
            if not is_transient(error) or time.monotonic() > until:
                raise
            emit(Event.STORE_UNAVAILABLE, during="start", error=error)
            await asyncio.sleep(pause_s)
        else:
            return
