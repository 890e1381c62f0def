"""Put back what disappeared at run time: indexes of ours that somebody dropped, images of collections made anew.

The replica that reads looks now and then, and at once when a collection or the database was dropped or renamed. It
creates no collection of the CRM's: somebody may be about to rename another one to that name.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.settings import Settings
from daemon.beat import is_set_within
from daemon.event import Event
from daemon.mongo.failure import may_pass
from daemon.mongo.initialise import restore
from daemon.pace import AS_SHIPPED, Pace
from daemon.service import Background
from daemon.telemetry import emit

_CALM_S: Final = 0.5  # a CRM that writes by $out renames collections all the time
_REFUSED_S: Final = 600.0  # where something is not allowed, nobody wants to hear of it every time


class Upkeep:
    """Restores the database's preparation while the daemon runs."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        settings: Settings,
        *,
        is_reader: Callable[[], bool],
        on_death: Callable[[str], None],
        pace: Pace = AS_SHIPPED,
    ) -> None:
        self._database = database
        self._settings = settings
        self._is_reader = is_reader
        self._pace = pace
        self._nudge = asyncio.Event()
        self._task = Background("upkeep", self._run, on_death)

    async def start(self) -> None:
        """Look after the database from now on, unless the settings say to leave it alone."""
        if self._settings.init_on_start:
            self._task.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._task.stop()

    def nudge(self) -> None:
        """Look at once: something was dropped."""
        self._nudge.set()

    async def _run(self) -> None:
        pause = self._pace.upkeep_s
        while True:
            await is_set_within(self._nudge, pause)
            await asyncio.sleep(_CALM_S)
            self._nudge.clear()
            pause = self._pace.upkeep_s
            if not self._is_reader():
                continue
            try:
                report = await restore(self._database, self._settings)
            except PyMongoError as error:
                if not may_pass(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="upkeep", error=error)
            else:
                pause = _REFUSED_S if report.skipped else self._pace.upkeep_s
