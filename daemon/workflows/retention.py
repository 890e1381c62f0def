"""Remove old versions of workflows, and the last records of workflows that were deleted long ago.

A version is needed while it is the newest, while an execution or an unfinished sweep points to it, while its switch has
still to be applied, and for as long as people may ask about the past (``version_retention_days`` after the next version
came). Of a workflow that was deleted that long ago, and of which no execution is left, only the enrollments stay.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Settings
from daemon.clock import ServerClock
from daemon.pace import Pace
from daemon.poll import Pause

Document = dict[str, Any]

_LONGEST_PAUSE: Final = timedelta(days=1)  # finding the versions in use reads the history of a workflow
_VERSIONS: Final = 5_000  # of one workflow at one poll
_BATCH: Final = 500
_FIELDS: Final = {"version": 1, "at": 1, "latest": 1, "transition": 1}


class Retention:
    """Removes old versions."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        settings: Settings,
        clock: ServerClock,
        pace: Pace,
    ) -> None:
        names = settings.collections
        self._versions = database[names.versions]
        self._executions = database[names.executions]
        self._state = database[names.state]
        self._kept_for = timedelta(days=settings.version_retention_days)
        self._clock = clock
        self._pace = pace
        self._next_at: datetime | None = None  # however often this replica becomes the reader

    async def poll(self) -> Pause:
        """Remove what may go, once a day; raise the driver's error."""
        now = self._clock.now()
        if self._next_at is None or now >= self._next_at:
            await self._remove(now)
            self._next_at = now + min(self._kept_for, _LONGEST_PAUSE)
        return Pause(max((self._next_at - now).total_seconds(), self._pace.upkeep_s))

    async def _remove(self, now: datetime) -> None:
        before = now - self._kept_for
        old = {"at": {"$lt": before}, "latest": {"$ne": True}}
        group = {"$group": {"_id": "$workflow_id"}}
        async for found in await self._versions.aggregate([{"$match": old}, group]):
            await self._remove_versions(found["_id"], before)
        deleted = {"latest": True, "is_deleted": True, "at": {"$lt": before}, "transition": {"$exists": False}}
        async for version in self._versions.find(deleted, {"workflow_id": 1}):
            await self._remove_deleted(version, before)

    async def _remove_versions(self, workflow_id: Any, before: datetime) -> None:
        """Remove the versions of one workflow that were followed by another ``before``, and that are not needed."""
        found = self._versions.find({"workflow_id": workflow_id}, _FIELDS).sort("version", 1).limit(_VERSIONS)
        versions = await found.to_list()
        outdated = {
            version["version"]: version["_id"]
            for version, following in pairwise(versions)
            if following["at"] < before and "transition" not in version and "latest" not in version
        }
        if not outdated:
            return
        needed = await self._needed(workflow_id, list(outdated))
        ids = [outdated[version] for version in outdated if version not in needed]
        for start in range(0, len(ids), _BATCH):
            batch = {"_id": {"$in": ids[start : start + _BATCH]}, "latest": {"$ne": True}}
            await self._versions.delete_many(batch)

    async def _needed(self, workflow_id: Any, versions: Sequence[int]) -> set[Any]:
        """Return to which of ``versions`` executions or an unfinished sweep point."""
        ours = {"workflow_id": workflow_id, "workflow_version": {"$in": list(versions)}}
        pointed = await self._executions.aggregate([{"$match": ours}, {"$group": {"_id": "$workflow_version"}}])
        needed = {each["_id"] async for each in pointed}
        sweeps = self._state.find({"kind": "schedule", "workflow_id": workflow_id}, {"sweep.version": 1})
        return needed | {(each.get("sweep") or {}).get("version") async for each in sweeps}

    async def _remove_deleted(self, newest: Mapping[str, Any], before: datetime) -> None:
        """Remove the last records of a deleted workflow, unless earlier versions or executions of it are left."""
        ours = {"workflow_id": newest["workflow_id"]}
        if await self._versions.find_one({**ours, "latest": {"$ne": True}}, {"_id": 1}) is not None:
            return
        if await self._executions.find_one(ours, {"_id": 1}) is not None:
            return
        removed = await self._versions.delete_one({"_id": newest["_id"], "latest": True, "is_deleted": True})
        if removed.deleted_count:
            # Not documents that have changed since: the workflow may just have been created again.
            await self._state.delete_many({"kind": "counter", **ours, "changed_at": {"$lt": before}})
            await self._state.delete_many({"kind": "schedule", **ours, "position": {"$lt": before}})
