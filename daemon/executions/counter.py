"""The counters of a workflow: one document per workflow and writer, in the transaction that ends executions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from rules.identity import bson_bytes


def counter_id(workflow_id: Any, lane: int | str) -> str:
    """Return the id of a counter document: one per workflow and lane, so that replicas do not conflict on it."""
    return f"counter/{bson_bytes(workflow_id).hex()}/{lane}"


def counter_update(key: str, workflow_id: Any, counts: Sequence[int], now: datetime) -> UpdateOne:
    """Return the update that adds ``counts`` (ended, completed, failed) to a counter document."""
    return UpdateOne(
        {"_id": key},
        {
            "$inc": {"execution_count": counts[0], "success_count": counts[1], "failure_count": counts[2]},
            "$max": {"last_executed_at": now},
            "$set": {"kind": "counter", "workflow_id": workflow_id},
            "$currentDate": {"changed_at": True},
        },
        upsert=True,
    )
