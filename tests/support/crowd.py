"""A crowd of waiting executions, put into the collection as fast as mongod takes them.

Each is the same BSON with its own ids, number and lane written over it: encoding a million documents one by one would
take longer than storing them.
"""

import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import bson
from bson import ObjectId
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase

LANES: Final = 32
PAGE: Final = 5_000
WAITED: Final = timedelta(hours=1)  # how long before they are due they were triggered
_ID, _ENTITY = ObjectId("aaaaaaaaaaaaaaaaaaaaaaaa"), ObjectId("bbbbbbbbbbbbbbbbbbbbbbbb")
_SEQ, _LANE = 0x7ABCDEF012345678, 0x6BCDEF01


async def insert_crowd(
    database: AsyncDatabase[dict[str, Any]], workflow_id: ObjectId, count: int, due_at: datetime, first_seq: int = 0
) -> None:
    """Insert ``count`` executions of version 1 whose first step is due at ``due_at``, numbered from ``first_seq``.

    Their entities do not exist.
    """
    executions = database["workflow_executions"]
    documents = waiting(workflow_id, due_at, first_seq, count)
    for first in range(0, count, PAGE):
        page = [next(documents) for _ in range(min(PAGE, count - first))]
        await executions.insert_many(page, ordered=False)


def waiting(workflow_id: ObjectId, due_at: datetime, first_seq: int, count: int) -> Iterator[RawBSONDocument]:
    """Yield executions as they are while their first step waits; the number orders those due at once."""
    template = bytearray(bson.encode(_document(workflow_id, due_at)))
    at_id, at_entity = template.index(_ID.binary), template.index(_ENTITY.binary)
    at_seq, at_lane = template.index(struct.pack("<q", _SEQ)), template.index(struct.pack("<i", _LANE))
    for seq in range(first_seq, first_seq + count):
        template[at_id : at_id + 12] = ObjectId().binary
        template[at_entity : at_entity + 12] = ObjectId().binary
        struct.pack_into("<q", template, at_seq, seq)
        struct.pack_into("<i", template, at_lane, seq % LANES)
        yield RawBSONDocument(bytes(template))


def _document(workflow_id: ObjectId, due_at: datetime) -> dict[str, Any]:
    return {
        "_id": _ID,
        "seq": Int64(_SEQ),
        "workflow_id": workflow_id,
        "workflow_name": "Follow up",
        "workflow_version": 1,
        "trigger": {"type": "entity_created", "kind": "created", "at": due_at - WAITED},
        "triggered_by_entity_type": "lead",
        "triggered_by_entity_id": _ENTITY,
        "triggered_at": due_at - WAITED,
        "status": "waiting",
        "actions_executed": [],
        "step": 0,
        "attempt": 0,
        "due_at": due_at,
        "lane": _LANE,
        "cause": {"depth": 0, "chain": [], "execution_id": None},
        "started_at": None,
        "completed_at": None,
    }
