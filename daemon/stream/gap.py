"""Record the lost parts of the stream and raise an alarm; a person acknowledges them (promise 1).

``{_id: "gap/<operation time>", kind: "gap", from, to, policy, acknowledged, changed_at, rescan?, requests?}``.
``rescan`` is the progress of the search for creations that were lost: ``{at, entity_type, after, found, enqueued,
not_recoverable, is_done}``; ``requests`` that of the search for requests without an answer: ``{at, is_done}``.
"""

from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from pymongo.asynchronous.collection import AsyncCollection

from config.settings import HistoryLostPolicy
from daemon.event import Event
from daemon.telemetry import emit


def gap_id(lost_since: Timestamp) -> str:
    """Return the id of the gap that begins at an operation time; finding the gap again gives the same id."""
    return f"gap/{lost_since.time}-{lost_since.inc}"


async def record_gap(
    state: AsyncCollection[dict[str, Any]],
    lost_since: Timestamp,
    until: datetime,
    policy: HistoryLostPolicy | str,
    error: Exception | str,
    read_from: Timestamp | None,
    rescan: dict[str, Any] | None = None,
) -> None:
    """Store a gap, or its new end, and raise the alarm once.

    ``read_from``: the operation time from which the stream is read on, None where it is not.
    """
    lost_from = datetime.fromtimestamp(lost_since.time, UTC)
    changes: dict[str, Any] = {"from": lost_from, "to": until, "policy": str(policy), "changed_at": until}
    if read_from is not None:
        changes["requests"] = {"at": read_from, "is_done": False}
    if rescan is not None:
        changes["rescan"] = rescan
    result = await state.update_one(
        {"_id": gap_id(lost_since)},
        {"$set": changes, "$setOnInsert": {"kind": "gap", "acknowledged": False}},
        upsert=True,
    )
    if result.upserted_id is not None or read_from is not None:  # a halted reader tries again: one alarm is enough
        emit(Event.HISTORY_LOST, gap_from=lost_from, gap_to=until, policy=str(policy), error=error)
