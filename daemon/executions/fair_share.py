"""Find due executions of workflows that have none among those loaded from the head of the queue.

The loader takes executions in the order of their due times. When more is due than memory holds, all that it takes may
belong to one workflow for minutes; then every poll also takes a few due executions of the other workflows. The steps
of an entity start in order all the same (promise 3): with an execution come those of its entity that are due earlier.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from daemon.executions.hand_edit import NOT_EDITED
from daemon.executions.job import PROJECTION
from rules.identity import bson_bytes

Document = dict[str, Any]

EACH: Final = 200  # executions of one workflow in one poll
_TOTAL: Final = 1_000
_SLICE: Final = 100  # workflows that are asked for at once
_QUERIES: Final = 6  # in one poll
_ENTITY_ID: Final = "triggered_by_entity_id"
_MOST: Final = 3_000  # executions of one poll with the earlier ones; if there are more, none of them is taken


class FairShare:
    """Finds due executions of other workflows than those at the head of the queue."""

    def __init__(self, executions: AsyncCollection[Document]) -> None:
        self._executions = executions
        self._had_turn: set[bytes] = set()

    async def find(
        self, workflow_ids: Sequence[Any], loaded: Collection[bytes], lanes: Sequence[int], until: datetime
    ) -> list[Document]:
        """Return executions that are due by ``until``, in no order, of the workflows that have none in memory yet.

        ``workflow_ids`` are those of all workflows, ``loaded`` those that have some, as BSON. With each execution come
        those of its entity that are due earlier, whatever their workflow. Raise the driver's error.
        """
        queued: dict[str, Any] = {
            "due_at": {"$lte": until, "$type": "date"},
            "lane": {"$in": list(lanes)},
            **NOT_EDITED,
        }
        found = await self._of_others([each for each in workflow_ids if bson_bytes(each) not in loaded], queued)
        if not found:
            return []
        entities = {bson_bytes(entity_id): entity_id for entity_id in (each.get(_ENTITY_ID) for each in found)}
        # All are found anew: what was queued after the first query may be due earlier than what that query found.
        with_earlier = await self._find({_ENTITY_ID: {"$in": list(entities.values())}, **queued}, _MOST)
        return with_earlier if len(with_earlier) < _MOST else []

    async def _of_others(self, others: Sequence[Any], queued: Mapping[str, Any]) -> list[Document]:
        """Return some executions of each workflow that had no turn yet; stop after enough executions or queries."""
        left = {key: each for each in others if (key := bson_bytes(each)) not in self._had_turn}
        found: list[Document] = []
        for _ in range(_QUERIES):
            asked = dict(islice(left.items(), _SLICE))
            if not asked or len(found) >= _TOTAL:
                break
            page = await self._find({"workflow_id": {"$in": list(asked.values())}, **queued}, EACH)
            found += page
            over = {bson_bytes(each["workflow_id"]) for each in page} if len(page) == EACH else asked.keys()
            self._had_turn |= over
            left = {key: each for key, each in left.items() if key not in over}
        if not left:
            self._had_turn.clear()
        return found

    async def _find(self, query: dict[str, Any], limit: int) -> list[Document]:
        return await self._executions.find(query, PROJECTION).limit(limit).to_list()
