"""Read entities as they are now, many in one round trip."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.codec import decoded_all, raw_collection
from rules.identity import can_be_id, entity_key


class EntityReader:
    """Reads entities by type and id."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], entities: Mapping[str, str]) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._entities = entities

    async def read(self, wanted: Iterable[tuple[str, Any]]) -> dict[tuple[str, Any], dict[str, Any]]:
        """Return the entities that exist, by ``entity_key``; one query per entity type.

        Raise the driver's error if the database does not answer.
        """
        ids: defaultdict[str, list[Any]] = defaultdict(list)
        for entity_type, entity_id in wanted:
            if can_be_id(entity_id):
                ids[entity_type].append(entity_id)
        found: dict[tuple[str, Any], dict[str, Any]] = {}
        for entity_type, some in ids.items():
            name = self._entities.get(entity_type)
            if name is None:
                continue
            cursor = raw_collection(self._database, name).find({"_id": {"$in": some}}, batch_size=len(some) + 1)
            for document in await decoded_all(await cursor.to_list()):
                found[entity_key(entity_type, document["_id"])] = document
        return found
