"""Why nobody can read the stream, where all replicas see it: from the first reader that halts to the next that reads.

``{_id: "halt", kind: "halt", error, at}`` in workflow_state.
"""

from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

HALT_ID: Final = "halt"


async def note_halt(state: AsyncCollection[dict[str, Any]], error: str | None, now: datetime) -> None:
    """Store why the reader has halted, None if it reads; raise the driver's error if MongoDB does not answer."""
    if error is None:
        await state.delete_one({"_id": HALT_ID})
    else:
        fields = {"kind": HALT_ID, "error": error, "at": now}
        await state.update_one({"_id": HALT_ID}, {"$set": fields}, upsert=True)
