"""Waiting for something to become true: what tests do instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, overload

REPEAT_S: Final = 90.0  # on a machine that does something else as well; nothing is judged by it
T = TypeVar("T")


@overload
async def eventually(
    probe: Callable[[], Coroutine[Any, Any, T]], within_s: float = REPEAT_S, every_s: float = 0.02
) -> T: ...
@overload
async def eventually(probe: Callable[[], T], within_s: float = REPEAT_S, every_s: float = 0.02) -> T: ...
async def eventually(probe: Callable[[], Any], within_s: float = REPEAT_S, every_s: float = 0.02) -> Any:
    """Return the first true value that ``probe`` gives; fail when there was none ``within_s``.

    An AssertionError in ``probe`` means "not yet"; the last one is shown when the time is up.
    """
    until = time.monotonic() + within_s
    while True:
        last: object
        try:
            result = probe()
            value = await result if inspect.isawaitable(result) else result
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if time.monotonic() > until:
            raise AssertionError(f"not true within {within_s} s; last seen: {last!r}")
        await asyncio.sleep(every_s)
