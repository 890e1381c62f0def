"""See to it that there is a checkpoint: a first start places one, and one that somebody dropped is put back.

Only who has read knows the position. So a replica that has read puts it back as soon as it misses it, whoever is to
read on, and one that has not waits a moment for that where executions may hang on it; otherwise the first of several
replicas to claim the reader's lease would begin anew, and what happened meanwhile would be lost.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from config.settings import Collections
from daemon.clock import ServerClock
from daemon.mongo.failure import may_pass
from daemon.stream.checkpoint import CHECKPOINT_ID
from daemon.stream.first_start import begin
from daemon.stream.intake import Intake
from daemon.stream.origin import Origin, present_origin
from rules.head import Parse

PUT_BACK_S: Final = 3.0  # how long a checkpoint that somebody dropped is waited for
_LOOK_S: Final = 0.1


class Placement:
    """Places the checkpoint where there is none."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        intake: Intake,
        clock: ServerClock,
        parse: Parse,
        pipeline: str,
    ) -> None:
        """``intake`` knows the position that this process has read up to, ``pipeline`` is the hash of the stream's."""
        self._database = database
        self._names = names
        self._state = database[names.state]
        self._intake = intake
        self._clock = clock
        self._parse = parse
        self._pipeline = pipeline
        self.is_known = False  # whether the position in memory is the newest there is: others may have read on since

    async def placed(self) -> Mapping[str, Any]:
        """Return the stored checkpoint, put back or made now where there is none; raise the driver's error."""
        document = await self._found()
        if document is None and not self.is_known:
            document = await self._put_back_elsewhere()
        if document is None:
            origin, _ = await present_origin(self._database, self._names.state)
            if not await self._put_back(origin):
                await begin(
                    self._database,
                    self._names,
                    self._clock,
                    self._parse,
                    pipeline=self._pipeline,
                    origin=origin,
                )
            document = await self._found() or {}
        return document

    async def keep(self) -> None:
        """Put the checkpoint back where it was dropped under this reader; later, if MongoDB does not answer."""
        try:
            if await self._found() is not None:
                self.is_known = False
            elif self.is_known:
                origin, _ = await present_origin(self._database, self._names.state)
                await self._put_back(origin)
        except PyMongoError as error:
            if not may_pass(error):
                raise

    async def _found(self) -> Mapping[str, Any] | None:
        return await self._state.find_one({"_id": CHECKPOINT_ID})

    async def _put_back_elsewhere(self) -> Mapping[str, Any] | None:
        """Return the checkpoint that another replica puts back, None if nobody does so soon, or nobody ever read."""
        until = time.monotonic() + PUT_BACK_S
        document = None
        while document is None and time.monotonic() < until and await self._has_lived():
            await asyncio.sleep(_LOOK_S)
            document = await self._found()
        return document

    async def _put_back(self, origin: Origin) -> bool:
        """Store the checkpoint of this process where somebody dropped it, and not the whole database with it."""
        if not self.is_known or not await self._has_lived():
            return False
        known = self._intake.checkpoint
        document = replace(known, commit=known.commit + 1, origin=origin).to_document(self._clock.now())
        with suppress(DuplicateKeyError):  # another replica was faster
            await self._state.insert_one(document)
        return True

    async def _has_lived(self) -> bool:
        """Return whether there are traces of an earlier life: no trace, nothing to wait for."""
        return await self._database[self._names.versions].find_one({}, {"_id": 1}) is not None
