"""Read documents as they were at one operation time, a page at a time."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.codec import CODEC

PAGE: Final = 1_000
SNAPSHOT_GONE: Final = frozenset({239, 246})  # the server does not keep that time any more


async def snapshot(
    database: AsyncDatabase[dict[str, Any]], collection: str, at: Timestamp, **find: Any
) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the documents of a collection as they were at ``at``; ``find`` are more fields of the command.

    Raise the driver's OperationFailure where the server does not keep that time any more (five minutes).
    """
    concern: Mapping[str, Any] = {"level": "snapshot", "atClusterTime": at}
    first: dict[str, Any] = {"find": collection, "batchSize": PAGE, "readConcern": concern, **find}
    async with database.client.start_session() as session:
        reply = await database.command(first, codec_options=CODEC, session=session)
        page: list[dict[str, Any]] = reply["cursor"]["firstBatch"]
        while page:
            yield page
            if not reply["cursor"]["id"]:
                return
            more = {"getMore": reply["cursor"]["id"], "collection": collection, "batchSize": PAGE}
            reply = await database.command(more, codec_options=CODEC, session=session)
            page = reply["cursor"]["nextBatch"]
