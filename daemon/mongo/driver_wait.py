"""Repair how the driver waits for a server or a connection on Python 3.11, where a cancelled wait may break its lock.

There ``asyncio.wait_for`` waits in a task of its own. Cancelled while that task takes the driver's lock back, for
example because the time is over, ``wait_for`` returns without the lock: the driver releases it in the place of another
operation, and the task takes it for ever. From Python 3.12 on ``wait_for`` waits in the task that calls it, as
``_wait_for`` does.
"""

import asyncio
import sys
from typing import Any

import pymongo.lock


def repair_waiting() -> None:
    """Let every operation of every client in this process be cancelled at any moment."""
    if sys.version_info < (3, 12):
        driver: Any = pymongo.lock
        driver.wait_for = _wait_for


async def _wait_for(awaited: Any, timeout_s: float | None) -> Any:
    async with asyncio.timeout(timeout_s):
        return await awaited
