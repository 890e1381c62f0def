"""Whether every entity that a cause names was really written: read from the change stream after the fact.

A cause is stored in the transaction that writes the entity, so an event of the entity stands in that transaction, too.
The server tells nothing of a write that changes nothing: the entity is then as the last such write of the same workflow
left it, and one of those was seen.
"""

from typing import Any, Final

from bson import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from rules.identity import bson_bytes

EFFECTS: Final = "workflow_effects"
_OURS: Final = "^(workflow|tasks$|notifications$|email_templates$)"


async def lost_entity_writes(database: AsyncDatabase[dict[str, Any]], since: Timestamp) -> list[str]:
    """Return a sentence for every write that a cause tells of and nobody saw, from ``since`` until now."""
    if await database[EFFECTS].find_one({}, {"_id": 1}) is None:
        return []
    causes: list[tuple[Any, dict[str, Any]]] = []
    written: set[tuple[Any, bytes]] = set()  # transaction, entity id
    end = (await database["end_of_reading"].insert_one({})).inserted_id
    pipeline = [{"$match": {"$or": [{"ns.coll": EFFECTS}, {"ns.coll": {"$not": {"$regex": _OURS}}}]}}]
    async with await database.watch(pipeline, start_at_operation_time=since) as stream:
        async for event in stream:
            if event.get("documentKey", {}).get("_id") == end:
                break
            if "txnNumber" not in event:
                continue
            transaction = (bytes(event["lsid"]["id"]), event["txnNumber"])
            if event["ns"]["coll"] != EFFECTS:
                written.add((transaction, bson_bytes(event["documentKey"]["_id"])))
            elif event["operationType"] == "insert":
                causes += [(transaction, cause) for cause in event["fullDocument"]["causes"]]
    return _lost(causes, written)


def _lost(causes: list[tuple[Any, dict[str, Any]]], written: set[tuple[Any, bytes]]) -> list[str]:
    seen: set[bytes] = set()  # workflow and entity of a write that was seen
    lost = []
    for transaction, cause in causes:
        entity = bson_bytes(cause["entity_id"])
        writer = bson_bytes([cause["chain"][-1], cause["entity_id"]])
        if (transaction, entity) in written:
            seen.add(writer)
        elif writer not in seen:
            lost.append(f"I4: execution {cause['execution_id']} wrote {cause['entity_id']!r}, and nobody saw it")
    return lost
