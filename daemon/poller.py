"""The task of most services: poll, pause, and poll again until it is stopped.

A poll returns its pause; a signal ends the pause early. After an error of MongoDB that may pass, the poller logs it and
polls again; any other error ends the task, and so the daemon.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from pymongo.errors import PyMongoError

from daemon.event import Event
from daemon.mongo.failure import may_pass
from daemon.poll import Pause, Signal
from daemon.service import Background
from daemon.telemetry import emit

RETRY_S: Final = 1.0
_LATEST_S: Final = 0.05  # where there is always a step at work, polls take place all the same
_WAIT_S: Final = 0.005


class Poller(Background):
    """A named task that polls."""

    def __init__(
        self,
        name: str,
        poll: Callable[[], Awaitable[Pause]],
        *,
        signal: Signal | None = None,
        begin: Callable[[], None] = lambda: None,
        first_s: float = 0.0,
        retry_s: float = RETRY_S,
        is_busy: Callable[[], bool] = bool,
    ) -> None:
        """``begin`` is called at each start; the first poll follows after ``first_s``, or at the first signal.

        ``retry_s`` is the pause after an error; ``is_busy`` tells whether a step is at work or due in a moment.
        """
        super().__init__(name, self._poll_on)
        self._poll = poll
        self._signal = signal or Signal()
        self._begin = begin
        self._first_s = first_s
        self._retry_s = retry_s
        self._is_busy = is_busy

    async def start(self) -> None:
        """Poll from now on."""
        self._begin()
        await super().start()

    async def _poll_on(self) -> None:
        pause, began = Pause(self._first_s), -math.inf
        while True:
            await self._wait(pause, began)
            self._signal.take()
            began = time.monotonic()
            try:
                pause = await self._poll()
            except PyMongoError as error:
                if not may_pass(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during=self.name, error=error)
                pause = Pause(self._retry_s)

    async def _wait(self, pause: Pause, began: float) -> None:
        """Wait until the next poll is due; after that, up to 50 ms while there is work; at once when signalled.

        ``began`` is when the last poll did, in seconds of the monotonic clock.
        """
        if pause.longest_s > 0 and await self._signal.within(pause.longest_s):
            await asyncio.sleep(max(began + pause.shortest_s - time.monotonic(), 0))
            return
        until = time.monotonic() + _LATEST_S
        while pause.gives_way and self._is_busy() and time.monotonic() < until:
            if await self._signal.within(_WAIT_S):
                return
