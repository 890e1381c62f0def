"""The state of queue, reader, replicas and gaps, read from MongoDB, so that any process can show it."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeGuard

from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.admin.identifier import id_text
from daemon.admin.problem import NotFound
from daemon.admin.weight import find_exactly, page_of
from daemon.executions.status import Status
from daemon.stream.checkpoint import CHECKPOINT_ID
from rules.identity import bson_bytes

_MOST_COUNTED: Final = 100_000  # larger counts are shown as this number

_MOST_LISTED: Final = 1_000
_MOST_LANES: Final = 2_000

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
        """Return the lost parts of the stream, newest first."""
        pipeline: list[Document] = [{"$match": {"kind": "gap"}}, {"$sort": {"from": -1}}]
        found, _ = await page_of(self._state, pipeline, _MOST_LISTED)
        return [
            {"id": id_text(gap["_id"]).removeprefix("gap/"), **_without(gap, "_id", "kind", "changed_at")}
            for gap in found
        ]

    async def acknowledge(self, gap_id: str) -> None:
        """Note that a person knows of a gap; raise NotFound."""
        result = await self._state.update_one({"_id": f"gap/{gap_id}", "kind": "gap"}, {"$set": {"acknowledged": True}})
        if not result.matched_count:
            raise NotFound(f"gap {gap_id[:80]}: there is none")

    async def _reader(self) -> Document:
        checkpoint = await find_exactly(self._state, CHECKPOINT_ID) or {}
        lease = await find_exactly(self._state, "lease/reader") or {}
        saved_at = checkpoint.get("saved_at")
        age_s = round((self._now() - saved_at).total_seconds(), 1) if _is_instant(saved_at) else None
        return {
            "replica": lease.get("holder"),
            "checkpoint_at": saved_at,
            "checkpoint_age_s": age_s,
            "executions_made": checkpoint.get("seq"),
        }

    async def _replicas(self) -> list[Document]:
        """Return the replicas. Of documents that somebody has edited, the readable fields are shown."""
        leases: list[Document] = [{"$match": {"kind": "lease", "name": {"$ne": "reader"}}}, {"$project": {"holder": 1}}]
        lanes = Counter(
            bson_bytes(lease.get("holder")) for lease in (await page_of(self._state, leases, _MOST_LANES))[0]
        )
        now = self._now()
        replicas: list[Document] = [{"$match": {"kind": "replica"}}, {"$sort": {"_id": 1}}]
        found, _ = await page_of(self._state, replicas, _MOST_LISTED)
        return [
            {
                "name": replica.get("holder", id_text(replica["_id"]).removeprefix("replica/")),
                "is_live": _is_instant(replica.get("expires_at")) and replica["expires_at"] > now,
                "lanes": lanes[bson_bytes(replica["holder"])] if "holder" in replica else 0,
                "expires_at": replica.get("expires_at"),
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
            "oldest_due_at": oldest[0].get("due_at") if oldest else None,
            "running": await self._executions.count_documents(running, limit=_MOST_COUNTED),
        }


def _is_instant(value: Any) -> TypeGuard[datetime]:
    return isinstance(value, datetime)


def _without(document: Mapping[str, Any], *names: str) -> Document:
    return {key: value for key, value in document.items() if key not in names}
