"""Something that tells when it has changed, so that a test need not ask again and again."""

import asyncio
from collections.abc import Callable

from tests.support.poll import REPEAT_S


class Signal:
    """Whoever changes something calls ``changed``; whoever waits for it awaits ``until``. For one event loop."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def changed(self) -> None:
        self._news.set()

    async def until(self, is_so: Callable[[], object], within_s: float = REPEAT_S) -> None:
        """Return once ``is_so`` is true, asked now and after every change; fail when it was not ``within_s``."""
        try:
            async with asyncio.timeout(within_s):
                while not is_so():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise AssertionError(f"no change made it true within {within_s} s") from error
