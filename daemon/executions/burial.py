"""End an execution document that the daemon cannot have written: it never runs by accident."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from daemon.event import Event
from daemon.executions.status import Status
from daemon.telemetry import emit


async def bury(
    executions: AsyncCollection[dict[str, Any]], document: Mapping[str, Any], problem: str, now: datetime
) -> None:
    """Mark an execution as failed with reason ``corrupt``; raise the driver's error if the database does not answer."""
    emit(Event.EXECUTION_CORRUPT, execution_id=document["_id"], error=problem)
    await executions.update_one(
        {"_id": document["_id"]},
        {
            "$set": {"status": Status.FAILED, "reason": "corrupt", "last_error": problem, "completed_at": now},
            "$unset": {"due_at": ""},
        },
    )
