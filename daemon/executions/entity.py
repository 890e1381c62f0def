"""Read entities as they are now, many in one round trip; large ones separately, so that the others need not wait."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from daemon.mongo.codec import raw_collection
from daemon.mongo.heavy import HEAVY, opened, opened_all
from rules.identity import can_be_id, entity_key

Key = tuple[str, Any]  # see ``entity_key``

# The server leaves large documents out, and returns their ids in rows without ``_id``.
_LIGHT: Final = {"$cond": [{"$lte": [{"$bsonSize": "$$ROOT"}, HEAVY]}, "$$ROOT", {"heavy": "$_id"}]}


@dataclass(frozen=True, slots=True)
class Entities:
    """Entities that exist, by ``entity_key``; ``heavy`` names those that exist too but were too large to be read."""

    found: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    heavy: dict[Key, tuple[str, Any]] = field(default_factory=dict)  # type and id


class EntityReader:
    """Reads entities by type and id. Everything here raises the driver's error if the database does not answer."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], entities: Mapping[str, str], executions: str) -> None:
        """``entities`` maps entity type to collection; ``executions`` is the name of one."""
        self._database = database
        self._executions = executions
        self._entities = entities

    async def read_all(self, wanted: Iterable[tuple[str, Any]]) -> Entities:
        """Return the entities that exist, the large ones too: those take a query each."""
        entities = await self.read_light(wanted)
        for key, (entity_type, entity_id) in entities.heavy.items():
            document = await self.read_one(entity_type, entity_id)
            if document is not None:
                entities.found[key] = document
        entities.heavy.clear()
        return entities

    async def read_one(self, entity_type: str, entity_id: Any) -> Mapping[str, Any] | None:
        """Return an entity of any size, None if there is none."""
        raw = await raw_collection(self._database, self._entities[entity_type]).find_one({"_id": {"$eq": entity_id}})
        return None if raw is None else opened(raw.raw)

    async def image(self, execution_id: ObjectId) -> Mapping[str, Any] | None:
        """Return the deleted entity as its execution keeps it, None if it keeps none."""
        executions = raw_collection(self._database, self._executions)
        raw = await executions.find_one({"_id": execution_id}, {"_id": 0, "entity": 1})
        found = opened(raw.raw).get("entity") if raw is not None else None
        return found if isinstance(found, Mapping) else None

    async def read_light(self, wanted: Iterable[tuple[str, Any]]) -> Entities:
        """Return the entities that are not too large; one query per entity type."""
        ids: defaultdict[str, list[Any]] = defaultdict(list)
        for entity_type, entity_id in wanted:
            if can_be_id(entity_id) and entity_type in self._entities:
                ids[entity_type].append(entity_id)
        entities = Entities()
        for entity_type, some in ids.items():
            collection = raw_collection(self._database, self._entities[entity_type])
            pipeline: list[Mapping[str, Any]] = [{"$match": {"_id": {"$in": some}}}, {"$replaceWith": _LIGHT}]
            cursor = await collection.aggregate(pipeline, batchSize=len(some) + 1)
            for row in await opened_all(await cursor.to_list()):
                if "_id" in row:
                    entities.found[entity_key(entity_type, row["_id"])] = row
                else:
                    entities.heavy[entity_key(entity_type, row["heavy"])] = entity_type, row["heavy"]
        return entities
