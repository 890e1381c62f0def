"""One open change stream, read reply by reply with getMore commands of our own.

The driver's iterator costs several times more per event and resumes by itself. Here every error reaches the reader,
which reopens the stream from its checkpoint (MONGODB.md, "Driver"). The pipeline is constant and workflows are matched
in Python, so that no filter hides the event of a resume token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, cast

import bson
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.codec import RAW_CODEC
from daemon.stream.decode import CHANGE_KINDS

REPLY_EVENTS: Final = 500
AWAIT_S: Final = 5.0  # how long the server waits for an event before it answers without one
_MOST_BYTES: Final = 16 * 1024 * 1024  # of what an event holds beside its ids and times, which have 16 KB
_STRUCTURE_OPERATIONS: Final = ["drop", "rename", "dropDatabase", "invalidate"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream starts: just after ``token``, or at the first event of ``cluster_time`` (inclusive)."""

    token: Mapping[str, Any] | None = None
    cluster_time: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's answer to one getMore: undecoded events, and the position after all of them."""

    events: Sequence[RawBSONDocument]
    token: Mapping[str, Any]


def pipeline_for(entity_collections: Sequence[str], workflows: str, insert_only: Sequence[str]) -> list[dict[str, Any]]:
    """Return the constant pipeline: changes of entities and workflows, inserts of requests and cause records, events of
    collections."""
    return [
        {
            "$match": {
                "$or": [
                    {
                        "ns.coll": {"$in": [*sorted(entity_collections), workflows]},
                        "operationType": {"$in": list(CHANGE_KINDS)},
                    },
                    {"ns.coll": {"$in": list(insert_only)}, "operationType": "insert"},
                    {"operationType": {"$in": _STRUCTURE_OPERATIONS}},
                ]
            }
        }
    ]


def pipeline_hash(pipeline: Sequence[Mapping[str, Any]]) -> str:
    """Return a short hash of the pipeline, stored with the token it was read under."""
    return blake2b(bson.encode({"pipeline": list(pipeline)}), digest_size=8).hexdigest()


def _kept_while_it_fits(image: str, *beside: str) -> dict[str, Any]:
    """Return the stage that leaves an image out where it is too large together with the fields ``beside`` it."""
    sizes = [{"$ifNull": [{"$bsonSize": f"${name}"}, 0]} for name in (image, *beside)]
    return {"$set": {image: {"$cond": [{"$lte": [{"$add": sizes}, _MOST_BYTES]}, f"${image}", "$$REMOVE"]}}}


# The stages hide no event, so they may come and go with the same tokens. The image before the change goes first.
_CUTTING: Final = (
    _kept_while_it_fits("fullDocumentBeforeChange", "fullDocument", "updateDescription"),
    _kept_while_it_fits("fullDocument", "updateDescription"),
)


class ChangeCursor:
    """A change stream over one database. Not for use by more than one task."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        session: AsyncClientSession,
        pipeline: Sequence[Mapping[str, Any]],
        *,
        await_ms: int,
    ) -> None:
        """``await_ms``: how long the server waits for an event before it answers with none, in milliseconds."""
        self._database = database
        self._session = session
        self._pipeline = pipeline
        self._await_ms = await_ms
        self._id = Int64(0)

    async def open(self, position: Position, *, cuts_images: bool = False) -> Reply:
        """Open the stream at ``position`` and return its first reply, often empty.

        ``cuts_images``: the server leaves images out of events that would be over 16 MB. Raise the driver's
        OperationFailure when the position cannot be used: see daemon.mongo.failure.
        """
        options: dict[str, Any] = {"fullDocument": "whenAvailable", "fullDocumentBeforeChange": "whenAvailable"}
        if position.token is not None:
            options["startAfter"] = dict(position.token)
        else:
            options["startAtOperationTime"] = position.cluster_time
        return await self._run(
            {
                "aggregate": 1,
                "pipeline": [{"$changeStream": options}, *self._pipeline, *(_CUTTING if cuts_images else ())],
                "cursor": {"batchSize": REPLY_EVENTS},
            },
            "firstBatch",
        )

    async def next_reply(self) -> Reply:
        """Return the next events in order, or none after ``await_ms``; the position moves either way."""
        return await self._run(
            {
                "getMore": self._id,
                "collection": "$cmd.aggregate",
                "batchSize": REPLY_EVENTS,
                "maxTimeMS": self._await_ms,
            },
            "nextBatch",
        )

    @property
    def is_open(self) -> bool:
        """Whether the server still keeps the cursor: it ends after an invalidate event."""
        return self._id != 0

    async def _run(self, command: dict[str, Any], batch_name: str) -> Reply:
        codec = cast(CodecOptions[Mapping[str, Any]], RAW_CODEC)  # the driver's own annotation is narrower than it is
        reply = await self._database.command(command, codec_options=codec, session=self._session)
        cursor = reply["cursor"]
        self._id = Int64(cursor["id"])
        return Reply(cursor[batch_name], bson.decode(cursor["postBatchResumeToken"].raw))
