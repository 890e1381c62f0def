"""Find the entity types whose collections have no change stream: views and time series.

A workflow that waits for a change of such an entity could never run, so it is invalid; schedules and requests work.
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from daemon.mongo.failure import is_transient

_WITHOUT_CHANGES: Final = {"view": "a view", "timeseries": "a time-series collection"}


class Unwatched:
    """Holds the types of the last look. ``types`` maps each to the kind of its collection."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], entities: Mapping[str, str]) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._entities = entities
        self.types: dict[str, str] = {}

    async def look(self) -> None:
        """Look again; without the right to look, ``types`` is empty. Raise the driver's error if MongoDB is down."""
        wanted = {"type": {"$in": list(_WITHOUT_CHANGES)}, "name": {"$in": list(self._entities.values())}}
        kinds: dict[str, str] = {}
        try:
            async for found in await self._database.list_collections(filter=wanted, nameOnly=True):
                kinds[found["name"]] = _WITHOUT_CHANGES[found["type"]]
        except OperationFailure as error:
            if is_transient(error):
                raise
        self.types.clear()
        self.types |= {each: kinds[name] for each, name in self._entities.items() if name in kinds}
