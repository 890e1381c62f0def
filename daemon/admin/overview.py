"""The state of the whole: queue, reader, replicas, gaps. Told from what is stored, so any process can tell it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.admin.problem import NotFound
from daemon.executions.status import Status
from daemon.stream.checkpoint import CHECKPOINT_ID

_MOST_COUNTED: Final = 100_000  # more are told as this number

Document = dict[str, Any]


class Overview:
    """Looks at the daemon's own collections."""

    def __init__(
        self, database: AsyncDatabase[Document], names: Collections, now: Callable[[], datetime], *, lanes: int
    ) -> None:
        """``lanes``: how many there are, on all replicas together."""
        self._executions = database[names.executions]
        self._state = database[names.state]
        self._now = now
        self._lanes = lanes

    async def look(self) -> Document:
        """Return ``{now, reader, replicas, queue, gaps}``; raise the driver's error if MongoDB does not answer."""
        return {
            "now": self._now(),
            "reader": await self._reader(),
            "replicas": await self._replicas(),
            "queue": await self._queue(),
            "gaps": await self.gaps(),
        }

    async def gaps(self) -> list[Document]:
        """Return the parts of the stream that nobody saw, newest first."""
        found = await self._state.find({"kind": "gap"}).sort("from", -1).to_list()
        return [{"id": gap["_id"].removeprefix("gap/"), **_without(gap, "_id", "kind", "changed_at")} for gap in found]

    async def acknowledge(self, gap_id: str) -> None:
        """Note that a person knows of a gap; raise NotFound."""
        result = await self._state.update_one({"_id": f"gap/{gap_id}", "kind": "gap"}, {"$set": {"acknowledged": True}})
        if not result.matched_count:
            raise NotFound(f"gap {gap_id[:80]}: there is none")

    async def _reader(self) -> Document:
        checkpoint = await self._state.find_one({"_id": CHECKPOINT_ID}) or {}
        lease = await self._state.find_one({"_id": "lease/reader"}) or {}
        saved_at = checkpoint.get("saved_at")
        return {
            "replica": lease.get("holder"),
            "checkpoint_at": saved_at,
            "checkpoint_age_s": round((self._now() - saved_at).total_seconds(), 1) if saved_at is not None else None,
            "executions_made": checkpoint.get("seq"),
        }

    async def _replicas(self) -> list[Document]:
        lanes: dict[str, int] = {}
        async for lease in self._state.find({"kind": "lease", "name": {"$ne": "reader"}}):
            if lease.get("holder") is not None:
                lanes[lease["holder"]] = lanes.get(lease["holder"], 0) + 1
        now = self._now()
        found = await self._state.find({"kind": "replica"}).sort("_id", 1).to_list()
        return [
            {
                "name": replica["holder"],
                "is_live": replica["expires_at"] > now,
                "lanes": lanes.get(replica["holder"], 0),
                "expires_at": replica["expires_at"],
            }
            for replica in found
        ]

    async def _queue(self) -> Document:
        lanes = {"$in": list(range(self._lanes))}
        queued: Document = {"lane": lanes, "due_at": {"$type": "date"}}
        due: Document = {"lane": lanes, "due_at": {"$type": "date", "$lte": self._now()}}
        oldest = await self._executions.find(due, {"due_at": 1}).sort("due_at", 1).limit(1).to_list()
        overdue = await self._executions.count_documents(due, limit=_MOST_COUNTED)
        waiting = await self._executions.count_documents(queued, limit=_MOST_COUNTED)
        running: Document = {"lane": lanes, "status": Status.RUNNING}
        return {
            "due": overdue,
            "later": waiting - overdue,
            "oldest_due_at": oldest[0]["due_at"] if oldest else None,
            "running": await self._executions.count_documents(running, limit=_MOST_COUNTED),
        }


def _without(document: Mapping[str, Any], *names: str) -> Document:
    return {key: value for key, value in document.items() if key not in names}
