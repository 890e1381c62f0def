"""Leases on the reader role and on lanes, kept in workflow_state and judged by the server's ``$$NOW``.

A lease is a document ``{_id: "lease/<name>", kind: "lease", holder, epoch, expires_at}``. The epoch grows with
every change of owner. Locally a lease is trusted until the monotonic deadline counted from before the renewal was
sent, so the owner stops starting effects before anybody else may take over, whatever its wall clock says.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pymongo
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, PyMongoError

from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.lease.share import lanes_to_claim, lanes_to_release
from daemon.mongo.failure import may_pass
from daemon.mongo.patience import patiently
from daemon.mongo.transaction import end_sessions
from daemon.service import Background, until_beat
from daemon.telemetry import emit

READER: Final = "reader"
_LANE: Final = "lane/"
_BEAT_S: Final = 0.5  # how often it is asked whether there is anything to do
_TRUST: Final = 0.85  # the part of a lease that its owner trusts: what is left pays for a late look at the clock
_DUPLICATE_KEY: Final = 11000
_LONG_AGO: Final = {"$subtract": ["$$NOW", 24 * 3600 * 1000]}  # replicas that died without a word are forgotten
_LEFT: Final = {"$subtract": ["$expires_at", "$$NOW"]}
_IS_LIVE: Final = {"$gt": ["$expires_at", "$$NOW"]}


def lane_name(lane: int) -> str:
    """Return the name of a lane's lease."""
    return f"{_LANE}{lane:03d}"


def lane_of_name(name: str) -> int:
    """Return the lane that a lease of that name is for."""
    return int(name.removeprefix(_LANE))


def _is_in_shape(lease: Mapping[str, Any]) -> bool:
    """Return whether a document is a lease as the keeper writes it, whoever may have edited it."""
    holder, epoch = lease.get("holder"), lease.get("epoch")
    is_held_by_someone = holder is None or isinstance(holder, str)
    return lease.get("name") == lease["_id"].removeprefix("lease/") and isinstance(epoch, int) and is_held_by_someone


@dataclass(frozen=True, slots=True)
class Hold:
    """A lease held here: its epoch, and the monotonic time in seconds until which it may be trusted."""

    epoch: int
    trusted_until: float


class LeaseUser(Protocol):
    """What the keeper tells of its leases. Nothing here may wait."""

    def lease_gained(self, name: str, epoch: int, *, after_crash: bool) -> None:
        """The lease is ours from now on. ``after_crash``: its last holder did not give it up."""

    def lease_lost(self, name: str) -> None:
        """The lease is ours no more: drop everything that was done under it."""

    def lease_retiring(self, name: str) -> None:
        """The lease will be given up: start nothing new under it."""

    def is_idle(self, name: str) -> bool:
        """Return whether nothing runs under a retiring lease any more."""


class LeaseKeeper:
    """Claims, renews, shares and gives up the leases of one replica."""

    def __init__(
        self,
        state: AsyncCollection[dict[str, Any]],
        replica: str,
        *,
        lanes: int,
        lease_s: float,
        users: Iterable[LeaseUser],
        on_death: Callable[[str], None],
        sessions: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
        is_told: Callable[[], bool] = bool,
        on_freed: Callable[[], None] = lambda: None,
    ) -> None:
        """``replica`` must be unique among all daemons, ``lease_s`` is how long an unrenewed lease lasts.

        ``sessions`` are those of this replica's transactions: whoever takes over ends them. ``on_freed`` is called
        when leases were given up here, ``is_told`` whether ``hear`` is called when others have done so.
        """
        self._users = tuple(users)
        self._state = state
        self._replica = replica
        self._lanes = lanes
        self._lease_s = lease_s
        self._sessions = sessions
        self._is_told = is_told
        self._on_freed = on_freed
        self._has_heard = False
        self._next_end = 0.0  # monotonic time in seconds when the first lease of others ends unless it is renewed
        self._ids = [f"lease/{name}" for name in (READER, *map(lane_name, range(lanes)))]
        self._held: dict[str, Hold] = {}
        self._retiring: set[str] = set()
        self._renewed_at = 0.0
        self._lock = asyncio.Lock()
        self._task = Background("lease keeper", self._run, on_death)

    @property
    def replica(self) -> str:
        """The name of this replica."""
        return self._replica

    @property
    def names(self) -> frozenset[str]:
        """The names of the leases held now."""
        return frozenset(self._held)

    def epoch(self, name: str) -> int:
        """Return the epoch of a held lease, -1 if it is not held."""
        hold = self._held.get(name)
        return -1 if hold is None else hold.epoch

    def is_trusted(self, name: str) -> bool:
        """Return whether an effect may start now under this lease."""
        hold = self._held.get(name)
        return hold is not None and time.monotonic() < hold.trusted_until

    async def start(self) -> None:
        """Write the leases that do not exist yet, claim what is free, and keep at it."""
        await patiently(self._put_missing)
        await patiently(self._tidy)
        await patiently(self._beat)
        self._task.start()

    async def stop(self) -> None:
        """Give up everything held, at once, so that others need not wait for the lease to run out."""
        await self._task.stop()
        async with self._lock:
            names = list(self._held)
            for name in names:
                self._lose(name)
            try:
                with pymongo.timeout(self._lease_s):
                    await self._state.delete_one({"_id": f"replica/{self._replica}"})  # first: nothing is left for us
                    await self._free({"kind": "lease"})  # also what a claim that was cut off may have got
            except PyMongoError as error:
                emit(Event.STORE_UNAVAILABLE, during="release of leases", error=error)
        if names:
            emit(Event.LEASE_RELEASED, count=len(names))

    def hear(self) -> None:
        """Look with the next beat: others may have given up leases."""
        self._has_heard = True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(until_beat(_BEAT_S))
            try:
                await self._beat()
            except PyMongoError as error:
                if not may_pass(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="renewal of leases", error=error)
                self._drop_untrusted()

    async def _tidy(self) -> None:
        """Forget replicas that are long gone, and a former life under the same name with what it left open."""
        await self._state.delete_many({"kind": "replica", "$expr": {"$lt": ["$expires_at", _LONG_AGO]}})
        await self._end_sessions_of([self._replica])
        await self._state.delete_one({"_id": f"replica/{self._replica}"})  # it names sessions that are not ours

    async def _put_missing(self) -> None:
        """Write the leases that do not exist. Their epochs begin above those of leases that somebody dropped."""
        began = {"$ifNull": ["$epoch", {"$toLong": {"$divide": [{"$toLong": "$$NOW"}, 1000]}}]}
        missing = [
            UpdateOne(
                {"_id": f"lease/{name}"},
                [{"$set": {"kind": "lease", "name": name, "epoch": began, "holder": {"$ifNull": ["$holder", None]}}}],
                upsert=True,
            )
            for name in (READER, *map(lane_name, range(self._lanes)))
        ]
        try:
            await self._state.bulk_write(missing, ordered=False)
        except BulkWriteError as error:
            if any(item["code"] != _DUPLICATE_KEY for item in error.details["writeErrors"]):
                raise

    async def _beat(self) -> None:
        async with self._lock:
            with pymongo.timeout(self._lease_s / 2):
                if time.monotonic() - self._renewed_at >= self._lease_s / 3 - _BEAT_S / 2:
                    await self._rebalance(await self._renew())
                elif len(self._held) <= self._lanes and await self._may_have_more():
                    await self._rebalance(None)

    async def _may_have_more(self) -> bool:
        """Return whether there may be a lease that is not held here: a short look between two renewals.

        Who is told when leases are given up need not ask; when one may end by itself was seen at the last look.
        """
        if time.monotonic() >= self._next_end:
            return True
        if self._is_told() and not self._has_heard:
            return False
        self._has_heard = False
        expired = {"$expr": {"$lte": ["$expires_at", "$$NOW"]}}
        wanted = {"kind": "lease", "holder": {"$ne": self._replica}, "$or": [{"holder": None}, expired]}
        return await self._state.find_one(wanted, {"_id": 1}) is not None

    async def _renew(self) -> float:
        """Renew what is held, and the replica's own sign of life; return the monotonic time before it was asked.

        Nothing is trusted longer for it yet: a replica that was frozen may renew leases that others have by now.
        """
        sent = time.monotonic()
        expires = {"$add": ["$$NOW", int(self._lease_s * 1000)]}
        known = [f"replica/{self._replica}", *(f"lease/{name}" for name in self._held)]
        result = await self._state.update_many(
            {"_id": {"$in": known}, "holder": self._replica}, [{"$set": {"expires_at": expires}}]
        )
        replica = {"kind": "replica", "holder": self._replica}
        if result.matched_count != len(known):
            await self._state.update_one(
                {"_id": f"replica/{self._replica}"},
                [{"$set": {**replica, "sessions": list(self._sessions()), "expires_at": expires}}],
                upsert=True,
            )
        return sent

    async def _rebalance(self, renewed_at: float | None) -> None:
        """Look at everybody's leases; drop what was lost, claim what is free, give up what is over the share."""
        leases, replicas = await self._read()
        if len(leases) <= self._lanes:
            await self._drop_misshapen(leases)
            await self._put_missing()  # somebody dropped the collection
            leases, replicas = await self._read()
        self._verify(leases, renewed_at)
        await self._claim_share(leases, replicas)
        self._retire_surplus(replicas)
        await self._give_up_idle()

    async def _read(self) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
        """Return all leases by name, and how many lanes each living replica holds."""
        leases: dict[str, dict[str, Any]] = {}
        replicas: dict[str, int] = {self._replica: 0}
        read_at = time.monotonic()
        async for found in await self._state.aggregate(
            [
                {"$match": {"kind": {"$in": ["lease", "replica"]}}},
                {
                    "$project": {
                        "kind": 1,
                        "name": 1,
                        "holder": 1,
                        "epoch": 1,
                        "live": _IS_LIVE,
                        "left_ms": {"$cond": [{"$eq": [{"$type": "$expires_at"}, "date"]}, _LEFT, 0]},
                    }
                },
            ]
        ):
            if found["kind"] == "lease":
                if found["_id"] in self._ids and _is_in_shape(found):
                    leases[found["name"]] = found
            elif found["live"] and isinstance(found.get("holder"), str):
                replicas.setdefault(found["holder"], 0)
        for lease in leases.values():
            if lease["live"] and lease["name"] != READER and lease["holder"] in replicas:
                replicas[lease["holder"]] += 1
        others = [lease["left_ms"] for lease in leases.values() if lease["live"] and lease["holder"] != self._replica]
        self._next_end = read_at + min(others, default=self._lease_s * 1000) / 1000
        return leases, replicas

    async def _drop_misshapen(self, leases: Mapping[str, Mapping[str, Any]]) -> None:
        """Drop the leases that somebody edited into something that is none: they are written anew."""
        whole = [lease["_id"] for lease in leases.values()]
        await self._state.delete_many({"kind": "lease", "_id": {"$in": self._ids, "$nin": whole}})

    def _verify(self, leases: Mapping[str, Mapping[str, Any]], renewed_at: float | None) -> None:
        """Trust what is still ours for another while if it was renewed; drop what is not ours any more."""
        lost: list[str] = []
        for name, hold in self._held.items():
            lease = leases.get(name)
            if lease is None or lease["holder"] != self._replica or lease["epoch"] != hold.epoch:
                lost.append(name)
            elif renewed_at is not None:
                self._held[name] = Hold(hold.epoch, renewed_at + self._lease_s * _TRUST)
        self._drop(lost)
        if renewed_at is not None:
            self._renewed_at = renewed_at

    async def _claim_share(self, leases: Mapping[str, Mapping[str, Any]], replicas: Mapping[str, int]) -> None:
        """Claim what is free. What is ours in MongoDB but not here was lost on the way: it is claimed anew."""
        free = [
            name
            for name, lease in leases.items()
            if name not in self._held and (not lease["live"] or lease["holder"] in (None, self._replica))
        ]
        lanes = sorted(name for name in free if name != READER)
        wanted = [READER] if READER in free else []
        others = [count for replica, count in replicas.items() if replica != self._replica]
        wanted += lanes_to_claim(lanes, len(self._held_lanes()), self._lanes, others)
        if wanted:
            await self._end_sessions_of({leases[name]["holder"] for name in wanted} - {None, self._replica})
            await self._claim(wanted, {name for name in wanted if leases[name]["holder"] is not None})

    async def _end_sessions_of(self, holders: Iterable[str]) -> None:
        """Abort the transactions that former holders left open: what they wrote would be in the way for a minute."""
        ids = [f"replica/{holder}" for holder in holders]
        found = await self._state.find({"_id": {"$in": ids}}, {"sessions": 1}).to_list() if ids else []
        sessions = [session for replica in found for session in replica.get("sessions", ())]
        await end_sessions(self._state.database.client, sessions)

    def _retire_surplus(self, replicas: Mapping[str, int]) -> None:
        staying = [name for name in self._held_lanes() if name not in self._retiring]
        for name in lanes_to_release(staying, self._lanes, len(replicas), replicas):
            self._retiring.add(name)
            for user in self._users:
                user.lease_retiring(name)

    def _held_lanes(self) -> list[str]:
        return sorted(name for name in self._held if name != READER)

    async def _claim(self, names: Sequence[str], abandoned: Collection[str]) -> None:
        sent = time.monotonic()
        expires = {"$add": ["$$NOW", int(self._lease_s * 1000)]}
        free = {"$or": [{"holder": {"$in": [None, self._replica]}}, {"$expr": {"$lte": ["$expires_at", "$$NOW"]}}]}
        change = [{"$set": {"holder": self._replica, "epoch": {"$add": ["$epoch", 1]}, "expires_at": expires}}]
        await self._state.bulk_write(
            [UpdateOne({"_id": f"lease/{name}", **free}, change) for name in names], ordered=False
        )
        until = sent + self._lease_s * _TRUST
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_CLAIM)
        gained: list[tuple[str, int]] = []
        async for lease in self._state.find(
            {"_id": {"$in": [f"lease/{name}" for name in names]}, "holder": self._replica}
        ):
            self._held[lease["name"]] = Hold(lease["epoch"], until)
            gained.append((lease["name"], lease["epoch"]))
        if gained:
            emit(Event.LEASE_ACQUIRED, leases=[name for name, _ in gained])
        for name, epoch in gained:
            for user in self._users:
                user.lease_gained(name, epoch, after_crash=name in abandoned)

    async def _give_up_idle(self) -> None:
        """Free the retiring leases under which nothing runs any more."""
        idle = [name for name in self._retiring if all(user.is_idle(name) for user in self._users)]
        for name in idle:
            self._lose(name)
        if idle:
            await self._free({"_id": {"$in": [f"lease/{name}" for name in idle]}})

    async def _free(self, leases: Mapping[str, Any]) -> None:
        await self._state.update_many(
            {**leases, "holder": self._replica}, {"$set": {"holder": None, "expires_at": None}}
        )
        self._on_freed()

    def _lose(self, name: str) -> None:
        self._retiring.discard(name)
        if self._held.pop(name, None) is not None:
            for user in self._users:
                user.lease_lost(name)

    def _drop_untrusted(self) -> None:
        """Forget the leases that ran out while the server did not answer: somebody else may have them."""
        now = time.monotonic()
        self._drop([name for name, hold in self._held.items() if now >= hold.trusted_until])

    def _drop(self, lost: Sequence[str]) -> None:
        """Lose leases, and say so in one line."""
        if lost:
            emit(Event.LEASE_LOST, leases=lost)
        for name in lost:
            self._lose(name)
