"""Carry signals from one replica to the others: there is queued work, a switched workflow or a free lease.

Every replica follows a small capped collection with one waiting cursor, so that a replica without work asks nothing.
An announcement has no content: replicas poll because of it. No promise depends on it: a replica that receives none (a
failover closed the cursor, somebody dropped the collection, a privilege is missing) polls more often.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson.int64 import Int64
from pymongo import WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from daemon.event import Event
from daemon.mongo.capped import CAPPED_BYTES, create_capped
from daemon.mongo.failure import MISSING_PRIVILEGE_CODE, is_forbidden
from daemon.poll import Signal
from daemon.service import Background
from daemon.telemetry import emit

_AWAIT_MS: Final = 5_000
_ANSWER_S: Final = 7.0  # so a silent network is noticed long before the socket's timeout
_BACK_OFF_S: Final = (0.1, 30.0)
_REFUSED_S: Final = 600.0  # until somebody may have granted what is missing
_FEWEST_CONNECTIONS: Final = 5
_NAMESPACE_EXISTS: Final = 48
_BAD_VALUE: Final = 2  # a waiting cursor on a collection that is not capped


class Announcements:
    """Sends announcements to other replicas, and receives theirs."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        collection: str,
        replica: str,
        *,
        told: Signal,
        heard: Sequence[Signal],
    ) -> None:
        """``told``, sent here, is announced to the other replicas; ``heard`` are sent when another one announces."""
        self._database = database
        self._name = collection
        # Acknowledged by one node: it is no loss when a failover takes it back.
        self._collection = database.get_collection(collection, write_concern=WriteConcern(w=1))
        self._find: dict[str, Any] = {"find": collection, "tailable": True, "awaitData": True}
        self._replica = replica
        self._told = told
        self._heard = heard
        self._teller = Background("announcements", self._tell_all)
        self._listener = Background("listener", self._listen)
        self.is_heard = False

    @property
    def tasks(self) -> Sequence[Background]:
        """One that sends, one that receives."""
        return self._teller, self._listener

    async def start(self) -> None:
        """Send and receive from now on."""
        await self._teller.start()
        await self._listener.start()

    async def stop(self) -> None:
        """Send a pending announcement, and receive nothing more."""
        await self._teller.stop()
        if self._told.take():
            await self._tell()
        await self._listener.stop()

    async def _tell_all(self) -> None:
        while True:
            await self._told.wait()
            self._told.take()
            await self._tell()

    async def _tell(self) -> None:
        if not self.is_heard:
            return  # nobody can be sure to hear it, and an insert would create a collection that is not capped
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._collection.insert_one({"replica": self._replica})
        except (PyMongoError, TimeoutError) as error:
            emit(Event.STORE_UNAVAILABLE, during="announcements to other replicas", error=error)
        except asyncio.CancelledError:
            self._told.send()
            raise

    async def _listen(self) -> None:
        """Follow for ever; a pool that is too small for a connection that waits is left to those who work."""
        if (self._database.client.options.pool_options.max_pool_size or _FEWEST_CONNECTIONS) < _FEWEST_CONNECTIONS:
            await asyncio.Event().wait()
        pause = _BACK_OFF_S[0]
        while True:
            try:
                await self._follow()
            except (PyMongoError, TimeoutError) as error:
                pause = _BACK_OFF_S[0] if self.is_heard else min(pause * 2, _BACK_OFF_S[1])
                if is_forbidden(error):
                    pause = _REFUSED_S
                emit(Event.STORE_UNAVAILABLE, during="announcements of other replicas", error=error)
            finally:
                self.is_heard = False
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        """Receive until something fails; the caller opens a new cursor."""
        async with asyncio.timeout(_ANSWER_S):
            await self._put_in_place()
        async with self._database.client.start_session() as session:
            async with asyncio.timeout(_ANSWER_S):
                cursor = await self._open(session)
            batch = cursor["firstBatch"]
            while cursor["id"]:
                self.is_heard = True
                if any(each.get("replica") != self._replica for each in batch):
                    for signal in self._heard:
                        signal.send()
                command = {"getMore": Int64(cursor["id"]), "collection": self._name, "maxTimeMS": _AWAIT_MS}
                async with asyncio.timeout(_ANSWER_S):
                    cursor = (await self._database.command(command, session=session))["cursor"]
                batch = cursor["nextBatch"]

    async def _put_in_place(self) -> None:
        """Create the collection with one document: a cursor on an empty collection ends at once."""
        try:
            await create_capped(self._database, self._name)
        except OperationFailure as error:
            if error.code not in (_NAMESPACE_EXISTS, MISSING_PRIVILEGE_CODE):
                raise
        await self._collection.insert_one({"replica": self._replica})

    async def _open(self, session: AsyncClientSession) -> Mapping[str, Any]:
        """Return a waiting cursor; make the collection capped where somebody's is not.

        Raise the driver's error where that is not allowed.
        """
        try:
            return await self._found(session)
        except OperationFailure as error:
            if error.code != _BAD_VALUE:
                raise
        await self._database.command({"convertToCapped": self._name, "size": CAPPED_BYTES})
        return await self._found(session)

    async def _found(self, session: AsyncClientSession) -> Mapping[str, Any]:
        cursor: Mapping[str, Any] = (await self._database.command(self._find, session=session))["cursor"]
        return cursor
