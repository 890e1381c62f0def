"""Leases and replicas as stored in workflow_state, judged by the server's ``$$NOW``.

A lease is a document ``{_id: "lease/<name>", kind: "lease", name, holder, epoch, expires_at}``; its epoch grows with
every change of owner. A replica is ``{_id: "replica/<name>", kind: "replica", holder, sessions, expires_at}``.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.mongo.transaction import end_sessions

READER: Final = "reader"
_LANE: Final = "lane/"
_DUPLICATE_KEY: Final = 11000
_LONG_AGO: Final = {"$subtract": ["$$NOW", 24 * 3600 * 1000]}  # replicas that were killed are forgotten after a day
_LEFT: Final = {"$subtract": ["$expires_at", "$$NOW"]}
_IS_LIVE: Final = {"$gt": ["$expires_at", "$$NOW"]}
_IS_OVER: Final = {"$expr": {"$lte": ["$expires_at", "$$NOW"]}}


def lane_name(lane: int) -> str:
    """Return the name of a lane's lease."""
    return f"{_LANE}{lane:03d}"


def lane_of_name(name: str) -> int:
    """Return the lane that a lease of that name is for."""
    return int(name.removeprefix(_LANE))


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease: its holder (None: no replica), whether it is in force, and the seconds until it expires."""

    name: str
    holder: str | None
    epoch: int
    is_live: bool
    left_s: float


@dataclass(frozen=True, slots=True)
class Holdings:
    """All leases by name, and how many lanes each living replica holds, ours among them.

    ``next_end`` is the monotonic time in seconds when the first lease of others ends unless it is renewed.
    """

    leases: Mapping[str, Lease]
    replicas: Mapping[str, int]
    next_end: float


class LeaseStore:
    """Reads and writes the leases for one replica. Every method raises the driver's error if there is no answer."""

    def __init__(self, state: AsyncCollection[dict[str, Any]], replica: str, *, lanes: int, lease_s: float) -> None:
        """``lease_s`` is how long a lease lasts that is not renewed, in seconds."""
        self._state = state
        self._replica = replica
        self._lease_s = lease_s
        self._names = [READER, *map(lane_name, range(lanes))]
        self._ids = _ids_of(self._names)
        self._own_id = f"replica/{replica}"
        self._expires = {"$add": ["$$NOW", int(lease_s * 1000)]}

    async def tidy(self) -> None:
        """Remove replicas that expired long ago, and a former run under our name with its open transactions."""
        await self._state.delete_many({"kind": "replica", "$expr": {"$lt": ["$expires_at", _LONG_AGO]}})
        await self.end_sessions_of([self._replica])
        await self.forget_replica()  # the former run's document names its sessions

    async def forget_replica(self) -> None:
        """Remove our replica document: other replicas leave no lanes to us from now on."""
        await self._state.delete_one({"_id": self._own_id})

    async def put_missing(self) -> None:
        """Write the leases that do not exist. Their epochs begin above those of leases that somebody dropped."""
        began = {"$ifNull": ["$epoch", {"$toLong": {"$divide": [{"$toLong": "$$NOW"}, 1000]}}]}
        missing = [
            UpdateOne(
                {"_id": f"lease/{name}"},
                [{"$set": {"kind": "lease", "name": name, "epoch": began, "holder": {"$ifNull": ["$holder", None]}}}],
                upsert=True,
            )
            for name in self._names
        ]
        try:
            await self._state.bulk_write(missing, ordered=False)
        except BulkWriteError as error:
            if any(item["code"] != _DUPLICATE_KEY for item in error.details["writeErrors"]):
                raise

    async def drop_misshapen(self, leases: Iterable[str]) -> None:
        """Delete all but ``leases``: somebody edited the others out of shape. ``put_missing`` writes them anew."""
        await self._state.delete_many({"kind": "lease", "_id": {"$in": self._ids, "$nin": _ids_of(leases)}})

    async def is_any_free(self) -> bool:
        """Return whether there is a lease that may be claimed."""
        wanted = {"kind": "lease", "holder": {"$ne": self._replica}, "$or": [{"holder": None}, _IS_OVER]}
        return await self._state.find_one(wanted, {"_id": 1}) is not None

    async def read(self) -> Holdings:
        """Return the holdings; misshapen leases are left out."""
        leases: dict[str, Lease] = {}
        replicas: dict[str, int] = {self._replica: 0}
        read_at = time.monotonic()
        fields = {
            "kind": 1,
            "name": 1,
            "holder": 1,
            "epoch": 1,
            "live": _IS_LIVE,
            "left_ms": {"$cond": [{"$eq": [{"$type": "$expires_at"}, "date"]}, _LEFT, 0]},
        }
        both = {"$match": {"kind": {"$in": ["lease", "replica"]}}}
        async for found in await self._state.aggregate([both, {"$project": fields}]):
            if found["kind"] == "lease":
                if found["_id"] in self._ids and _is_in_shape(found):
                    leases[found["name"]] = Lease(
                        found["name"], found.get("holder"), found["epoch"], found["live"], found["left_ms"] / 1000
                    )
            elif found["live"] and isinstance(found.get("holder"), str):
                replicas.setdefault(found["holder"], 0)
        for lease in leases.values():
            if lease.is_live and lease.name != READER and lease.holder in replicas:
                replicas[lease.holder] += 1
        others = [lease.left_s for lease in leases.values() if lease.is_live and lease.holder != self._replica]
        return Holdings(leases, replicas, read_at + min(others, default=self._lease_s))

    async def renew(self, names: Iterable[str], sessions: Sequence[Mapping[str, Any]]) -> None:
        """Renew those of ``names`` that are still ours, and our replica document, which holds ``sessions``."""
        known = [self._own_id, *_ids_of(names)]
        result = await self._state.update_many(
            {"_id": {"$in": known}, "holder": self._replica}, [{"$set": {"expires_at": self._expires}}]
        )
        replica = {"kind": "replica", "holder": self._replica, "sessions": list(sessions), "expires_at": self._expires}
        if result.matched_count != len(known):
            await self._state.update_one({"_id": self._own_id}, [{"$set": replica}], upsert=True)

    async def claim(self, names: Sequence[str]) -> dict[str, int]:
        """Claim the free ones of ``names``; return all of them that are ours now, with their epochs."""
        free = {"$or": [{"holder": {"$in": [None, self._replica]}}, _IS_OVER]}
        epoch = {"$add": ["$epoch", 1]}
        change = [{"$set": {"holder": self._replica, "epoch": epoch, "expires_at": self._expires}}]
        await self._state.bulk_write(
            [UpdateOne({"_id": each, **free}, change) for each in _ids_of(names)], ordered=False
        )
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_CLAIM)
        ours = self._state.find({"_id": {"$in": _ids_of(names)}, "holder": self._replica})
        return {lease["name"]: lease["epoch"] async for lease in ours}

    async def free(self, names: Iterable[str] | None = None) -> None:
        """Give up ``names``, or all leases of ours: a claim that was cut off may have got more than we know."""
        wanted: dict[str, Any] = {"kind": "lease"} if names is None else {"_id": {"$in": _ids_of(names)}}
        await self._state.update_many(
            {**wanted, "holder": self._replica}, {"$set": {"holder": None, "expires_at": None}}
        )

    async def end_sessions_of(self, holders: Iterable[str]) -> None:
        """Abort the transactions that former holders left open: their writes would block others for a minute."""
        ids = [f"replica/{holder}" for holder in holders]
        found = await self._state.find({"_id": {"$in": ids}}, {"sessions": 1}).to_list() if ids else []
        sessions = [session for replica in found for session in replica.get("sessions", ())]
        await end_sessions(self._state.database.client, sessions)


def _ids_of(names: Iterable[str]) -> list[str]:
    return [f"lease/{name}" for name in names]


def _is_in_shape(lease: Mapping[str, Any]) -> bool:
    """Return whether a document has the shape of a lease; somebody may have edited it."""
    holder, epoch = lease.get("holder"), lease.get("epoch")
    is_held_by_someone = holder is None or isinstance(holder, str)
    return lease.get("name") == lease["_id"].removeprefix("lease/") and isinstance(epoch, int) and is_held_by_someone
