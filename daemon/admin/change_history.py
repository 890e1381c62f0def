"""Read the changes of entities that the server still has, without an effect on the daemon."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from bson import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from daemon.admin.slices import Slices
from daemon.stream.cursor import ChangeCursor, Position, Reply
from daemon.stream.decode import CHANGE_KINDS, Decoder
from rules.change import Change

_AWAIT_MS: Final = 200


class ChangeHistory:
    """Reads past changes. Raises the driver's OperationFailure where the server no longer has them."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], entities: Mapping[str, str]) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._entities = entities

    async def changes(
        self, entity_type: str, since: datetime, until: datetime, entity_ids: Sequence[Any] | None = None
    ) -> AsyncGenerator[tuple[list[Change], int]]:
        """Yield changes of a type batch by batch, oldest first, each with how far it reaches, in seconds since 1970.

        ``entity_ids``: of these entities only. The last batch may hold changes made after ``until``.
        """
        collection = self._entities[entity_type]
        wanted: dict[str, Any] = {"ns.coll": collection, "operationType": {"$in": list(CHANGE_KINDS)}}
        if entity_ids is not None:
            wanted["documentKey._id"] = {"$in": list(entity_ids)}
        decoder, slices = Decoder({collection: entity_type}, "", "", ""), Slices()
        async with aclosing(self._batches([{"$match": wanted}], since, until)) as batches:
            async for batch in batches:
                changes = []
                for raw in batch.events:
                    changes.append(decoder.decode(raw).change)
                    await slices.go_on()
                yield [change for change in changes if change is not None], _seconds(batch)

    async def _batches(
        self, pipeline: Sequence[Mapping[str, Any]], since: datetime, until: datetime
    ) -> AsyncGenerator[Reply]:
        async with self._database.client.start_session() as session:
            cursor = ChangeCursor(self._database, session, pipeline, await_ms=_AWAIT_MS)
            batch = await cursor.open(Position(None, Timestamp(int(since.timestamp()), 1)), cuts_images=True)
            seen: Mapping[str, Any] | None = None
            while cursor.is_open:
                yield batch
                if _seconds(batch) > until.timestamp() or (not batch.events and batch.token == seen):
                    return
                seen = batch.token
                batch = await cursor.next_reply()


def _seconds(batch: Reply) -> int:
    """Return the server's time that a position stands for: the first bytes of its token, after the type."""
    return int(batch.token["_data"][2:10], 16)
