"""Restore what somebody dropped at run time: our indexes, and the images of recreated collections.

The reader's replica polls regularly, and at once after a collection or the database was dropped or renamed. It creates
no collection of the CRM: somebody may be about to rename another one to that name.
"""

import asyncio
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Settings
from daemon.mongo.initialise import restore
from daemon.pace import AS_SHIPPED, Pace
from daemon.poll import Pause, Signal

_CALM_S: Final = 0.5  # a CRM that writes by $out renames collections all the time
_REFUSED_S: Final = 600.0  # until a missing privilege is logged again


class Upkeep:
    """Restores the database's preparation while the daemon runs."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        settings: Settings,
        pace: Pace = AS_SHIPPED,
    ) -> None:
        self._database = database
        self._settings = settings
        self._pace = pace
        self.signal = Signal()  # something was dropped

    async def poll(self) -> Pause:
        """Restore what is gone; raise the driver's error."""
        await asyncio.sleep(_CALM_S)
        report = await restore(self._database, self._settings)
        return Pause(_REFUSED_S if report.skipped else self._pace.upkeep_s)
