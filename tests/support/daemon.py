"""A whole daemon inside the test's own event loop, against a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from actions.registry import parse_action
from daemon.app import Daemon
from daemon.mongo.client import open_client
from daemon.mongo.initialise import initialise
from daemon.pace import Pace
from rules.workflow import ParseAction
from tests.support.poll import eventually
from tests.support.settings import settings_for

# Looks come sooner than in the daemon as shipped: tests wait for them.
QUICK: Final = Pace(queue_s=0.5, hand_edits_s=0.5, inspection_s=0.5)


@asynccontextmanager
async def running_daemon(
    uri: str, database: str, *, parse_action: ParseAction = parse_action, pace: Pace = QUICK, **changes: Any
) -> AsyncIterator[Daemon]:
    """Yield a daemon that takes part in ``database``; ``changes`` are settings. It must not have died at the end.

    Nor may a task be left that was not there before: what the caller starts meanwhile has to end, too.
    """
    settings = settings_for(uri, database, **changes)
    dead: list[str] = []
    tasks = asyncio.all_tasks()
    async with open_client(settings, "test") as client, open_client(settings, "test-reader") as reader_client:
        if settings.init_on_start:
            await initialise(client[database], settings)
        daemon = Daemon(settings, client, reader_client, on_failure=dead.append, parse_action=parse_action, pace=pace)
        await daemon.start()
        try:
            yield daemon
        finally:
            await daemon.stop()
    assert not dead, f"services died: {dead}"
    await eventually(lambda: _none_left(tasks))


async def reading(daemon: Daemon) -> None:
    """Return once the daemon has opened the stream."""
    await eventually(lambda: daemon.is_reading)


async def halted(daemon: Daemon) -> str:
    """Return why the reader has halted for good, once it has."""
    return await eventually(lambda: daemon.halted) or ""


def _none_left(before: set["asyncio.Task[Any]"]) -> bool:
    """Return whether every task that was not there ``before`` has ended (I7); else fail.

    The driver's own tasks are left out: the clients of the tests have some, too.
    """
    left = [task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not _is_of_driver(task)]
    assert not left, left
    return True


def _is_of_driver(task: "asyncio.Task[Any]") -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "pymongo" in code.co_filename
