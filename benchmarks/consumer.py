"""The least that anybody can do who follows a CRM's changes: read the daemon's stream, decode it, and drop it.

Orders: ``{uri, database}``.
"""

import asyncio

from benchmarks.child import client_of, orders, say
from config.settings import Collections
from daemon.stream.cursor import pipeline_for


async def _consume() -> None:
    asked = orders()
    names = Collections()
    pipeline = pipeline_for(["leads", "deals", "contacts"], names.workflows, (names.requests, names.effects))
    async with client_of(asked["uri"]) as client:
        watching = client[asked["database"]].watch(
            pipeline,
            full_document="whenAvailable",
            full_document_before_change="whenAvailable",
            max_await_time_ms=5_000,
        )
        async with await watching as stream:
            say(ready=True)
            async for _ in stream:
                pass


if __name__ == "__main__":
    asyncio.run(_consume())
