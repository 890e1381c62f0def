"""Store a checkpoint where there is none: at a first start, or after somebody deleted it.

Only a replica that has read the stream knows the position. It puts a deleted checkpoint back as soon as it notices,
even if another replica reads by then. In a database with stored versions, a replica that has not read waits for that up
to ``PUT_BACK_S``: if it began anew at once, all changes since the deleted position would be lost.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, PyMongoError

from daemon.clock import ServerClock
from daemon.mongo.failure import may_pass
from daemon.stream.checkpoint import CHECKPOINT_ID
from daemon.stream.first_start import FirstStart
from daemon.stream.intake import Intake
from daemon.stream.origin import Origin, present_origin
from daemon.stream.source import Source

PUT_BACK_S: Final = 3.0  # how long to wait until another replica puts a deleted checkpoint back
_LOOK_S: Final = 0.1


class Placement:
    """Places the checkpoint where there is none."""

    def __init__(
        self,
        source: Source,
        versions: AsyncCollection[dict[str, Any]],
        intake: Intake,
        clock: ServerClock,
        first_start: FirstStart,
    ) -> None:
        """``intake`` knows the position that this process has read up to."""
        self._source = source
        self._versions = versions
        self._intake = intake
        self._clock = clock
        self._first_start = first_start
        self.is_known = False  # whether the position in memory is the newest: other replicas may have read on since

    async def placed(self) -> Mapping[str, Any]:
        """Return the stored checkpoint; put it back or make one where there is none. Raise the driver's error."""
        document = await self._found()
        if document is None and not self.is_known:
            document = await self._put_back_elsewhere()
        if document is None:
            origin, _ = await present_origin(self._source.state)
            if not await self._put_back(origin):
                await self._first_start.begin(pipeline=self._source.pipeline_hash, origin=origin)
            document = await self._found() or {}
        return document

    async def keep(self) -> None:
        """Put the checkpoint back if it was deleted while this reader read; try later if MongoDB does not answer."""
        try:
            if await self._found() is not None:
                self.is_known = False
            elif self.is_known:
                origin, _ = await present_origin(self._source.state)
                await self._put_back(origin)
        except PyMongoError as error:
            if not may_pass(error):
                raise

    async def _found(self) -> Mapping[str, Any] | None:
        return await self._source.state.find_one({"_id": CHECKPOINT_ID})

    async def _put_back_elsewhere(self) -> Mapping[str, Any] | None:
        """Return the checkpoint that another replica puts back, None if none does in time, or no replica ever read."""
        until = time.monotonic() + PUT_BACK_S
        document = None
        while document is None and time.monotonic() < until and await self._has_lived():
            await asyncio.sleep(_LOOK_S)
            document = await self._found()
        return document

    async def _put_back(self, origin: Origin) -> bool:
        """Store the checkpoint of this process if somebody deleted it, but not if the whole database was dropped."""
        if not self.is_known or not await self._has_lived():
            return False
        known = self._intake.checkpoint
        document = replace(known, commit=known.commit + 1, origin=origin).to_document(self._clock.now())
        with suppress(DuplicateKeyError):  # another replica was faster
            await self._source.state.insert_one(document)
        return True

    async def _has_lived(self) -> bool:
        """Return whether a daemon has worked on this database before."""
        return await self._versions.find_one({}, {"_id": 1}) is not None
