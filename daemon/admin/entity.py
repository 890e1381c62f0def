"""Entities as admins name them: a type, and an id as text."""

from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from config.error import nearest
from daemon.admin.identifier import exactly, readings
from daemon.admin.problem import Conflict


class EntityAdmin:
    """Finds entities."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], entities: Mapping[str, str]) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._entities = entities

    async def find(self, entity_type: str, entity_id: str) -> dict[str, Any]:
        """Return the entity as it is now; raise Conflict where there is none, or no such type.

        Not NotFound: over HTTP that would say that the workflow in the path does not exist.
        """
        entity = await self.look(entity_type, entity_id)
        if entity is None:
            collection = self._entities[entity_type]
            raise Conflict(f"{entity_type} {entity_id[:80]}: there is none with this id in {collection}")
        return entity

    async def look(self, entity_type: str, entity_id: str) -> dict[str, Any] | None:
        """Return the entity as it is now, None where there is none; raise Conflict where there is no such type."""
        collection = self._entities.get(entity_type)
        if collection is None:
            known = ", ".join(self._entities)
            hint = nearest(entity_type[:80], self._entities)
            raise Conflict(f"entity_type '{entity_type[:80]}': expected one of {known}{hint}")
        for reading in readings(
            entity_id
        ):  # which ids are the same is the collection's affair: it may have a collation
            found = await self._database[collection].find_one({"_id": exactly(reading)})
            if found is not None:
                return found
        return None
