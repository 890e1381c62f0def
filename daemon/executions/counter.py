"""The counters of a workflow: one document per workflow and writer, in the transaction that ends executions."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from daemon.executions.status import Status
from rules.identity import bson_bytes


def counter_id(workflow_id: Any, lane: int | str) -> str:
    """Return the id of a counter document: one per workflow and lane, so that replicas do not conflict on it."""
    return f"counter/{bson_bytes(workflow_id).hex()}/{lane}"


def counter_updates(ended: Iterable[tuple[Any, int | str, Status]], now: datetime) -> list[UpdateOne]:
    """Return the updates for executions that ended: each as (workflow id, lane, status), one for each counter."""
    totals: dict[str, tuple[Any, int | str, list[int]]] = {}
    for workflow_id, lane, status in ended:
        _, _, counts = totals.setdefault(counter_id(workflow_id, lane), (workflow_id, lane, [0, 0, 0]))
        counts[0] += 1
        counts[1] += status is Status.COMPLETED
        counts[2] += status is Status.FAILED
    return [counter_update(*total, now) for total in totals.values()]


def counter_update(workflow_id: Any, lane: int | str, counts: Sequence[int], now: datetime) -> UpdateOne:
    """Return the update that adds ``counts`` (ended, completed, failed) to a counter document."""
    return UpdateOne(
        {"_id": counter_id(workflow_id, lane)},
        {
            "$inc": {"execution_count": counts[0], "success_count": counts[1], "failure_count": counts[2]},
            "$max": {"last_executed_at": now},
            "$set": {"kind": "counter", "workflow_id": workflow_id},
            "$currentDate": {"changed_at": True},
        },
        upsert=True,
    )
