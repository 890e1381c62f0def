"""Requests to stop: the first SIGTERM or SIGINT stops the daemon in order, a second one ends the process at once."""

import asyncio
import os
import signal
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Waits for a signal, or for a service that fails."""

    def __init__(self) -> None:
        self.exit_code = 0
        self._reason = ""
        self._asked = asyncio.Event()

    def listen(self) -> None:
        """Handle signals of the running event loop from now on."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)

    async def wait(self) -> str:
        """Return the reason to stop, once there is one."""
        await self._asked.wait()
        return self._reason

    def fail(self, service: str) -> None:
        """Stop with exit code 1: a service failed."""
        self.exit_code = 1
        self._ask(f"{service} failed")

    def _signalled(self, number: signal.Signals) -> None:
        if self._asked.is_set():
            os._exit(128 + number)
        self._ask(signal.Signals(number).name)

    def _ask(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._asked.set()
