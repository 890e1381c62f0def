"""Settle executions that people cancelled or queued again by editing ``status`` in MongoDB.

The owner of a lane polls for executions queued again, the reader's replica for cancelled ones, each by an index that
holds nothing else. Many edits share a transaction. Polls of the queue skip edited executions, so no other work waits.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson.errors import BSONError
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from config.found import found
from daemon.event import Event
from daemon.executions.corrupt import EndCorrupt
from daemon.executions.intervention import Interventions, is_edited
from daemon.executions.lanes import Lanes
from daemon.executions.status import Status
from daemon.mongo.failure import is_transient
from daemon.mongo.indexes import REQUEUED
from daemon.pace import Pace
from daemon.poll import Pause, Signal, regular
from daemon.telemetry import emit
from rules.identity import bson_bytes

PAGE: Final = 1_000  # executions found by one poll
BATCH: Final = 100  # executions settled in one transaction: about 5 ms of processor time
_MESSAGE_CHARACTERS: Final = 200
_CANCELLED: Final[Mapping[str, Any]] = {"status": Status.CANCELLED, "completed_at": {"$type": "null"}}

# Polls of the queue skip these executions: they are in one of the two indexes.
NOT_EDITED: Final[Mapping[str, Any]] = {"$nor": [_CANCELLED, REQUEUED]}


class HandEdits:
    """Finds executions that were edited by hand and settles them."""

    def __init__(
        self,
        executions: AsyncCollection[dict[str, Any]],
        interventions: Interventions,
        end_corrupt: EndCorrupt,
        lanes: Lanes,
        *,
        queue: Signal,
        pace: Pace,
    ) -> None:
        """``queue`` is sent after edits are settled: the executions may be due."""
        self._executions = executions
        self._interventions = interventions
        self._end_corrupt = end_corrupt
        self._lanes = lanes
        self.signal = Signal()  # sent when an execution was queued again
        self._queue = queue
        self._pace = pace
        self._met: dict[bytes, Any] = {}

    def note(self, execution_id: Any) -> None:
        """Settle soon an edited execution that a poll of the queue has found."""
        self._met[bson_bytes(execution_id)] = execution_id
        self.signal.send()

    async def poll_queued_again(self) -> Pause:
        """Settle executions that were noted, or queued again in lanes owned here; raise the driver's error."""
        met, self._met = list(self._met.values()), {}
        await self._settle(met)
        return await self._settle_found(REQUEUED)

    async def poll_cancelled(self) -> Pause:
        """Settle executions that were cancelled, in any lane; raise the driver's error."""
        return await self._settle_found(_CANCELLED)

    async def _settle_found(self, query: Mapping[str, Any]) -> Pause:
        while await self._settle_page(query):
            pass
        return regular(self._pace.hand_edits_s, time.monotonic())

    async def _settle_page(self, query: Mapping[str, Any]) -> bool:
        """Settle some of what ``query`` finds, in the order it is due; return whether there may be more."""
        fields = {"status": 1, "completed_at": 1, "lane": 1}
        cursor = self._executions.find(query, fields).sort([("due_at", 1), ("seq", 1)]).limit(PAGE)
        page = await cursor.to_list()
        owned = self._lanes.owned
        ours = [each for each in page if query is _CANCELLED or each.get("lane") in owned]
        for document in ours:
            if not is_edited(document):
                status = found(document.get("status"))
                await self._end_corrupt(document, f"status: expected one that is queued or cancelled, found {status}")
        settled = await self._settle([document["_id"] for document in ours if is_edited(document)])
        return settled > 0 and len(page) == PAGE

    async def _settle(self, execution_ids: Sequence[Any]) -> int:
        """Settle executions, some at a time; return their number; raise the driver's error if there is no answer."""
        count = 0
        for start in range(0, len(execution_ids), BATCH):
            count += await self._settle_batch(execution_ids[start : start + BATCH])
        if count:
            self._queue.send()
        return count

    async def _settle_batch(self, execution_ids: Sequence[Any]) -> int:
        """Settle a batch; if the database refuses it, settle one at a time, and end the refused one as corrupt."""
        try:
            settled = await self._interventions.settle(execution_ids)
        except (PyMongoError, BSONError, OverflowError) as error:  # the edited document has no room for the update
            if is_transient(error):
                raise
            if len(execution_ids) == 1:
                await self._end_corrupt({"_id": execution_ids[0]}, str(error)[:_MESSAGE_CHARACTERS])
                return 1
            return sum([await self._settle_batch([each]) for each in execution_ids])
        for execution_id, status in settled:
            emit(Event.EXECUTION_EDITED, execution_id=execution_id, status=status)
        return len(settled)
