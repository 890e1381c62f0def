"""Read documents as they were at one operation time, a page at a time."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, cast

from bson.codec_options import CodecOptions
from bson.int64 import Int64
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.codec import RAW_CODEC
from daemon.mongo.heavy import opened_all

PAGE: Final = 1_000
_RAW: Final = cast(CodecOptions[Mapping[str, Any]], RAW_CODEC)  # the driver's own annotation is narrower than it is
SNAPSHOT_GONE: Final = frozenset({239, 246})  # the server does not keep that time any more


async def snapshot(
    database: AsyncDatabase[dict[str, Any]], collection: str, at: Timestamp, **find: Any
) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Yield the documents of a collection as they were at ``at``; ``find`` are more fields of the command.

    Raise the driver's OperationFailure where the server does not keep that time any more (five minutes).
    """
    concern: Mapping[str, Any] = {"level": "snapshot", "atClusterTime": at}
    first: dict[str, Any] = {"find": collection, "batchSize": PAGE, "readConcern": concern, **find}
    async with database.client.start_session() as session:
        reply = await database.command(first, codec_options=_RAW, session=session)
        page = await opened_all(reply["cursor"]["firstBatch"])
        while page:
            yield page
            if not reply["cursor"]["id"]:
                return
            more = {"getMore": Int64(reply["cursor"]["id"]), "collection": collection, "batchSize": PAGE}
            reply = await database.command(more, codec_options=_RAW, session=session)
            page = await opened_all(reply["cursor"]["nextBatch"])
