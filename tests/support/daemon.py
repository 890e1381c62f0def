"""A whole daemon inside the test's own event loop, against a real MongoDB."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from actions.registry import parse_action
from daemon.app import Daemon
from daemon.mongo.client import open_client
from daemon.mongo.initialise import initialise
from rules.workflow import ParseAction
from tests.support.settings import settings_for


@asynccontextmanager
async def running_daemon(
    uri: str, database: str, *, parse_action: ParseAction = parse_action, **changes: Any
) -> AsyncIterator[Daemon]:
    """Yield a daemon that takes part in ``database``; ``changes`` are settings. It must not have died at the end."""
    settings = settings_for(uri, database, **changes)
    dead: list[str] = []
    async with open_client(settings, "test") as client, open_client(settings, "test-reader") as reader_client:
        if settings.init_on_start:
            await initialise(client[database], settings)
        daemon = Daemon(settings, client, reader_client, on_death=dead.append, parse_action=parse_action)
        await daemon.start()
        try:
            yield daemon
        finally:
            await daemon.stop()
    assert not dead, f"services died: {dead}"
