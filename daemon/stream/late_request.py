"""Answer the requests that were inserted in a gap: the stream no longer brings them.

Each is taken in by a transaction of its own with its answer, so that the work can be repeated after a crash. Requests
that were inserted after the operation time from which the stream is read on are in the stream.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.settings import Collections
from daemon.clock import ServerClock
from daemon.mongo.snapshot import SNAPSHOT_GONE, snapshot
from daemon.stream.decode import EventSubject, StreamEvent
from daemon.stream.intake import Intake
from rules.identity import bson_bytes

_UNANSWERED: Final[dict[str, Any]] = {"answered_at": {"$exists": False}}


class LateRequests:
    """Finds and takes in the requests of a gap. Only for the replica that reads, while it does not."""

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], names: Collections, intake: Intake, clock: ServerClock
    ) -> None:
        self._database = database
        self._name = names.requests
        self._requests = database[names.requests]
        self._intake = intake
        self._clock = clock

    async def answer(self, at: Timestamp) -> None:
        """Answer every request that was there at ``at`` and has no answer; raise as ``Intake.take`` does."""
        async for request_id in self._there(at):
            request = await self._requests.find_one({"_id": {"$eq": request_id}, **_UNANSWERED})
            if request is not None:
                await self._intake.take_late(self._event(request, at))

    async def _there(self, at: Timestamp) -> AsyncIterator[Any]:
        """Yield the ids of the requests at that time; where the server no longer keeps it, of those that look older."""
        try:
            pages = snapshot(self._database, self._name, at, filter=_UNANSWERED, projection={"_id": 1})
            async for page in pages:
                for request in page:
                    yield request["_id"]
        except OperationFailure as error:
            if error.code not in SNAPSHOT_GONE:
                raise
            older = {"_id": {"$not": {"$gte": ObjectId.from_datetime(at.as_datetime())}}, **_UNANSWERED}
            for request in await self._requests.find(older, {"_id": 1}).to_list():
                yield request["_id"]

    def _event(self, request: dict[str, Any], at: Timestamp) -> StreamEvent:
        token = f"request/{bson_bytes(request['_id']).hex()}"
        body = {"operationType": "insert", "fullDocument": request}
        return StreamEvent(
            EventSubject.REQUEST, token, at, None, self._clock.now(), "insert", self._name, request["_id"], body
        )
