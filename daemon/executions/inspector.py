"""Look every second for executions that nothing else would ever find.

These are documents whose ``due_at`` is no date, so that no poll meets them, and documents that say ``running`` in a
lane of ours though nobody here is at work on them. Both are looked up in indexes that hold next to nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from config.found import found
from daemon.event import Event
from daemon.executions.burial import Bury
from daemon.executions.lanes import Lanes
from daemon.executions.takeover import TakeOver
from daemon.mongo.failure import is_transient
from daemon.mongo.indexes import NOT_A_DATE
from daemon.service import Background
from daemon.telemetry import emit

LOOK_S: Final = 1.0
_PAGE: Final = 100


class Inspector:
    """Buries what can never become due, and settles what nobody runs."""

    def __init__(
        self,
        executions: AsyncCollection[dict[str, Any]],
        lanes: Lanes,
        take_over: TakeOver,
        bury: Bury,
        *,
        is_reader: Callable[[], bool],
        on_death: Callable[[str], None],
    ) -> None:
        self._executions = executions
        self._lanes = lanes
        self._take_over = take_over
        self._bury = bury
        self._is_reader = is_reader
        self._task = Background("inspector", self._run, on_death)

    async def start(self) -> None:
        """Look from now on."""
        self._task.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._task.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if self._is_reader():
                    await self._bury_misqueued()
                await self._take_over.settle(sorted(self._lanes.owned))
            except PyMongoError as error:
                if not is_transient(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="inspection of executions", error=error)

    async def _bury_misqueued(self) -> None:
        misqueued = self._executions.find({"due_at": {"$type": NOT_A_DATE}}, {"due_at": 1})
        for document in await misqueued.limit(_PAGE).to_list():
            await self._bury(document, f"due_at: expected a date, found {found(document['due_at'])}")
