"""Waiting on what is committed: a question is asked again when something was written, not again and again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

from bson.int64 import Int64
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.poll import REPEAT_S

_AWAIT_MS: Final = 1_000
T = TypeVar("T")


async def committed(
    database: AsyncDatabase[dict[str, Any]], probe: Callable[[], Awaitable[T]], within_s: float = REPEAT_S
) -> T:
    """Return the first true value that ``probe`` gives, asked now and after every commit in ``database``.

    An AssertionError in ``probe`` means "not yet"; the last one is shown when the time is up.
    """
    last: object = None
    try:
        async with asyncio.timeout(within_s):
            async for _ in _commits(database):
                try:
                    value = await probe()
                    if value:
                        return value
                    last = value
                except AssertionError as error:
                    last = error
    except TimeoutError:
        pass
    raise AssertionError(f"not committed within {within_s} s; last seen: {last!r}")


async def _commits(database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[None]:
    """Yield once, and again whenever something was committed since: what came together is told together."""
    yield
    while True:  # a cursor ends when the database is dropped
        pipeline = [{"$changeStream": {}}, {"$project": {"_id": 1}}]
        reply = await database.command("aggregate", 1, pipeline=pipeline, cursor={"batchSize": 0})
        name, cursor_id = reply["cursor"]["ns"].partition(".")[2], reply["cursor"]["id"]
        try:
            yield  # what was written before the cursor stood
            while cursor_id:
                batch = await database.command("getMore", Int64(cursor_id), collection=name, maxTimeMS=_AWAIT_MS)
                cursor_id = batch["cursor"]["id"]
                if batch["cursor"]["nextBatch"]:
                    yield
        finally:
            if cursor_id:
                await database.command("killCursors", name, cursors=[cursor_id])
