"""Record that history was lost: which part of the stream nobody saw (promise 1)."""

from datetime import UTC, datetime
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from daemon.event import Event
from daemon.stream.checkpoint import Checkpoint
from daemon.telemetry import emit


async def record_gap(
    state: AsyncCollection[dict[str, Any]], checkpoint: Checkpoint, now: datetime, error: PyMongoError
) -> None:
    """Store ``{_id: "gap/<commit>", kind: "gap", from, to, policy, acknowledged}`` once, and raise the alarm."""
    lost_since = datetime.fromtimestamp(checkpoint.cluster_time.time, UTC)
    await state.update_one(
        {"_id": f"gap/{checkpoint.commit}"},
        {
            "$setOnInsert": {
                "kind": "gap",
                "from": lost_since,
                "to": now,
                "policy": "halt",
                "acknowledged": False,
                "changed_at": now,
            }
        },
        upsert=True,
    )
    emit(Event.HISTORY_LOST, gap_from=lost_since, gap_to=now, policy="halt", error=error)
