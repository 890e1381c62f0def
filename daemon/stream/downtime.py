"""Keep the longest time for which no replica read the stream; the doctor compares it with the oplog.

``{_id: "downtime", kind: "downtime", longest_s, at}`` in workflow_state.
"""

from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

DOWNTIME_ID: Final = "downtime"
_SHORTEST_S: Final = 60  # shorter times are restarts or failovers, and are not kept


async def note_downtime(state: AsyncCollection[dict[str, Any]], saved_at: object, now: datetime) -> None:
    """Keep the time since the checkpoint was saved, if it is the longest so far."""
    if not isinstance(saved_at, datetime):  # edited by hand
        return
    away_s = (now - saved_at).total_seconds()
    if away_s < _SHORTEST_S:
        return
    known = await state.find_one({"_id": DOWNTIME_ID}) or {}
    longest_s = known.get("longest_s")
    if not isinstance(longest_s, int | float) or away_s > longest_s:
        fields = {"kind": DOWNTIME_ID, "longest_s": round(away_s), "at": now}
        await state.update_one({"_id": DOWNTIME_ID}, {"$set": fields}, upsert=True)
