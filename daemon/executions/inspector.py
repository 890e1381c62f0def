"""Look every few seconds for executions that nothing else would ever find.

These are documents whose ``due_at`` is no date or is missing, or whose lane does not exist, so that no poll meets
them, and documents that say ``running`` in a lane of ours though nobody here is at work on them. All are looked up in
indexes that hold next to nothing, or step over what is in order. A person who edits a document may need several
writes for it: what is merely incomplete is given time.
"""

import asyncio
import time
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
from daemon.mongo.indexes import NOT_A_DATE, UNQUEUED
from daemon.service import Background, until_beat
from daemon.telemetry import emit

LOOK_S: Final = 5.0
GRACE_S: Final = 10.0  # how long an edit may be incomplete
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
        all_lanes: int,
        is_reader: Callable[[], bool],
        on_death: Callable[[str], None],
    ) -> None:
        """``all_lanes``: how many lanes there are, here and elsewhere."""
        self._executions = executions
        self._lanes = lanes
        self._take_over = take_over
        self._bury = bury
        self._all_lanes = list(range(all_lanes))
        self._is_reader = is_reader
        self._incomplete: dict[Any, float] = {}  # execution: monotonic time in seconds when it was first met
        self._task = Background("inspector", self._run, on_death)

    async def start(self) -> None:
        """Look from now on."""
        self._task.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._task.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(until_beat(LOOK_S))
            try:
                if self._is_reader():
                    await self._bury_misqueued()
                    await self._bury_unreachable()
                await self._take_over.settle(sorted(self._lanes.owned))
            except PyMongoError as error:
                if not is_transient(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="inspection of executions", error=error)

    async def _bury_misqueued(self) -> None:
        misqueued = self._executions.find({"due_at": {"$type": NOT_A_DATE}}, {"due_at": 1})
        for document in await misqueued.limit(_PAGE).to_list():
            await self._bury(document, f"due_at: expected a date, found {found(document['due_at'])}")

    async def _bury_unreachable(self) -> None:
        """Bury what is queued without a time or in no lane that exists, once nobody has mended it for a while."""
        met: dict[Any, float] = {}
        for query in (UNQUEUED, {"due_at": {"$type": "date"}, "lane": {"$nin": self._all_lanes}}):
            wrong = await self._executions.find(query, {"lane": 1, "due_at": 1}).limit(_PAGE).to_list()
            for document in wrong:
                since = met[document["_id"]] = self._incomplete.get(document["_id"], time.monotonic())
                if time.monotonic() - since >= GRACE_S:
                    problem = f"due_at: {found(document.get('due_at'))}, lane: {found(document.get('lane'))}"
                    await self._bury(document, f"expected a date and a lane below {len(self._all_lanes)}; {problem}")
        self._incomplete = met
