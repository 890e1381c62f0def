"""Find due executions of workflows that a crowd of others would keep waiting.

The queue is loaded in the order of its times. When more is due than memory holds, the head of the queue may belong to
one workflow for minutes; then every look also takes a few due executions of workflows that are not in it. The steps of
an entity start in order all the same (promise 3): with an execution come those of its entity that are due before it.
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

EACH: Final = 200  # executions of one workflow in one look
_TOTAL: Final = 1_000
_SLICE: Final = 100  # workflows that are asked for at once
_QUERIES: Final = 6  # in one look
_ENTITY_ID: Final = "triggered_by_entity_id"
_MOST: Final = 3_000  # of the executions that come with them; beyond, all wait for their turn in the queue


class FairShare:
    """Looks beside the head of the queue."""

    def __init__(self, executions: AsyncCollection[Document]) -> None:
        self._executions = executions
        self._had_turn: set[bytes] = set()

    async def find(
        self, workflow_ids: Sequence[Any], crowd: Collection[bytes], lanes: Sequence[int], until: datetime
    ) -> list[Document]:
        """Return executions due by ``until`` of ``workflow_ids`` that are not in the ``crowd``, with what goes before.

        ``crowd`` holds workflow ids as BSON. The documents are in no order. Raise the driver's error.
        """
        queued: dict[str, Any] = {
            "due_at": {"$lte": until, "$type": "date"},
            "lane": {"$in": list(lanes)},
            **NOT_EDITED,
        }
        found = await self._of_others([each for each in workflow_ids if bson_bytes(each) not in crowd], queued)
        if not found:
            return []
        entities = {bson_bytes(entity_id): entity_id for entity_id in (each.get(_ENTITY_ID) for each in found)}
        # All of them anew: what was queued since the first look may go before what that found.
        with_earlier = await self._find({_ENTITY_ID: {"$in": list(entities.values())}, **queued}, _MOST)
        return with_earlier if len(with_earlier) < _MOST else []

    async def _of_others(self, others: Sequence[Any], queued: Mapping[str, Any]) -> list[Document]:
        """Return a share of each workflow whose turn it is, until a look has brought or asked enough."""
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
