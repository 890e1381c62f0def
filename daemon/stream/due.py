"""Find the entities with due steps: an execution that ended at intake would overtake those steps (promise 3).

An entity that was just created may have due steps, too: it may have been deleted and created again under the same id.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from daemon.executions.status import Status
from rules.identity import can_be_id, entity_key


class DueEntities:
    """Finds due steps in MongoDB with one query for a batch, and none while no execution is queued."""

    def __init__(self, executions: AsyncCollection[dict[str, Any]], is_idle: Callable[[], bool]) -> None:
        """``is_idle`` returns whether this process knows that no execution is queued."""
        self._executions = executions
        self._is_idle = is_idle

    async def among(self, entities: Iterable[tuple[str, Any]], now: datetime) -> set[tuple[str, Any]]:
        """Return the keys of those of ``entities`` (type, id) for which a step is due or at work.

        Raise the driver's error if the database does not answer.
        """
        if self._is_idle():
            return set()
        entities = list(entities)
        if not entities:
            return set()
        found = {entity_key(*entity) for entity in entities if not can_be_id(entity[1])}
        ids = [entity_id for _, entity_id in entities if can_be_id(entity_id)]
        is_due = {"$or": [{"status": Status.RUNNING}, {"due_at": {"$lte": now, "$type": "date"}}]}
        fields = {"triggered_by_entity_type": 1, "triggered_by_entity_id": 1}
        async for run in self._executions.find({"triggered_by_entity_id": {"$in": ids}, **is_due}, fields):
            found.add(entity_key(run["triggered_by_entity_type"], run["triggered_by_entity_id"]))
        return found
