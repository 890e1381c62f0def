"""Claim, renew, share and give up the leases on the reader role and on lanes.

Locally a lease is trusted until the monotonic deadline counted from before the renewal was sent, so the owner stops
starting effects before anybody else may take over, whatever its wall clock says.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from daemon.event import Event
from daemon.lease.holds import Hold, Holds
from daemon.lease.share import lanes_to_claim, lanes_to_release
from daemon.lease.store import READER, Holdings, Lease, LeaseStore
from daemon.mongo.failure import may_pass
from daemon.mongo.repetition import repeatedly
from daemon.poll import Signal, until_common
from daemon.service import Background
from daemon.telemetry import emit

_LOOK_S: Final = 0.5  # how often the keeper checks the leases
_TRUST: Final = 0.85  # the part of a lease that its owner trusts; the rest covers a late check of the clock


@dataclass(frozen=True, slots=True)
class LeaseSignals:
    """``free`` is sent when leases were given up here, ``freed`` when others have done so, if ``is_told``."""

    free: Signal = field(default_factory=Signal)
    freed: Signal = field(default_factory=Signal)
    is_told: Callable[[], bool] = bool


class LeaseUser(Protocol):
    """Follows the leases of this replica. No method may wait."""

    def lease_gained(self, name: str, epoch: int, *, after_crash: bool) -> None:
        """The lease is ours from now on. ``after_crash``: its last holder did not give it up."""

    def lease_lost(self, name: str) -> None:
        """The lease is lost: drop all work under it."""

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
        holds: Holds,
        users: Iterable[LeaseUser],
        signals: LeaseSignals,
        sessions: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    ) -> None:
        """``replica`` must be unique among all daemons, ``lease_s`` is how long an unrenewed lease lasts.

        ``holds`` tells others what is held. ``sessions`` are those of this replica's transactions: another replica
        that takes over ends them.
        """
        self._users = tuple(users)
        self._store = LeaseStore(state, replica, lanes=lanes, lease_s=lease_s)
        self._replica = replica
        self._lanes = lanes
        self._lease_s = lease_s
        self._sessions = sessions
        self._signals = signals
        self._next_end = 0.0  # see Holdings
        self._held = holds
        self._retiring: set[str] = set()
        self._declined: dict[str, float] = {}  # the monotonic time in seconds until which a lease is not wanted
        self._renewed_at = 0.0
        self._lock = asyncio.Lock()
        self._task = Background("lease keeper", self._run)

    @property
    def tasks(self) -> Sequence[Background]:
        """The task that renews."""
        return (self._task,)

    async def start(self) -> None:
        """Write missing leases and claim free ones, now and regularly."""
        await repeatedly(self._store.put_missing)
        await repeatedly(self._store.tidy)
        await repeatedly(self._look)
        await self._task.start()

    async def stop(self) -> None:
        """Give up everything held, at once, so that others need not wait for the lease to run out."""
        await self._task.stop()
        async with self._lock:
            names = list(self._held)
            for name in names:
                self._lose(name)
            try:
                with pymongo.timeout(self._lease_s):
                    await self._store.forget_replica()
                    await self._store.free()
                    self._signals.free.send()
            except PyMongoError as error:
                emit(Event.STORE_UNAVAILABLE, during="release of leases", error=error)
        if names:
            emit(Event.LEASE_RELEASED, count=len(names))

    def give_up(self, name: str, for_s: float) -> None:
        """Free a lease at the next look, and do not claim it for so many seconds: another replica may succeed."""
        self._declined[name] = time.monotonic() + for_s
        if name in self._held:
            self._retiring.add(name)

    def _wants(self, name: str) -> bool:
        return time.monotonic() >= self._declined.get(name, 0.0)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(until_common(_LOOK_S, time.monotonic()))
            try:
                await self._look()
            except PyMongoError as error:
                if not may_pass(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="renewal of leases", error=error)
                self._drop_untrusted()

    async def _look(self) -> None:
        async with self._lock:
            with pymongo.timeout(self._lease_s / 2):
                if time.monotonic() - self._renewed_at >= self._lease_s / 3 - _LOOK_S / 2:
                    await self._rebalance(await self._renew())
                elif READER in self._retiring:
                    await self._give_up_idle()
                elif len(self._held) <= self._lanes and await self._may_have_more():
                    await self._rebalance(None)

    async def _may_have_more(self) -> bool:
        """Return whether there may be a lease that is not held here; MongoDB is asked only where nobody signals.

        The last check has noted when the first lease of another replica ends unless it is renewed.
        """
        if time.monotonic() >= self._next_end:
            return True
        if self._signals.is_told() and not self._signals.freed.take():
            return False
        return await self._store.is_any_free()

    async def _renew(self) -> float:
        """Renew the held leases and the replica's heartbeat; return the monotonic time before the request.

        Nothing is trusted longer for it yet: a replica that was frozen may renew leases that others have by now.
        """
        sent = time.monotonic()
        await self._store.renew(self._held, self._sessions())
        return sent

    async def _rebalance(self, renewed_at: float | None) -> None:
        """Read all leases; drop lost ones, claim free ones, give up those above the share."""
        found = await self._store.read()
        if len(found.leases) <= self._lanes:
            await self._store.drop_misshapen(found.leases)
            await self._store.put_missing()  # somebody dropped the collection
            found = await self._store.read()
        self._next_end = found.next_end
        self._verify(found.leases, renewed_at)
        await self._claim_share(found)
        self._retire_surplus(found.replicas)
        await self._give_up_idle()

    def _verify(self, leases: Mapping[str, Lease], renewed_at: float | None) -> None:
        """Trust our renewed leases for another period; drop those that are no longer ours."""
        lost: list[str] = []
        for name, hold in self._held.items():
            lease = leases.get(name)
            if lease is None or lease.holder != self._replica or lease.epoch != hold.epoch:
                lost.append(name)
            elif renewed_at is not None:
                self._held[name] = Hold(hold.epoch, renewed_at + self._lease_s * _TRUST)
        self._drop(lost)
        if renewed_at is not None:
            self._renewed_at = renewed_at

    async def _claim_share(self, found: Holdings) -> None:
        """Claim what is free. What is ours in MongoDB but not here was lost on the way: it is claimed anew."""
        free = [
            name
            for name, lease in found.leases.items()
            if name not in self._held and (not lease.is_live or lease.holder in (None, self._replica))
        ]
        lanes = sorted(name for name in free if name != READER)
        wanted = [READER] if READER in free and self._wants(READER) else []
        others = [count for replica, count in found.replicas.items() if replica != self._replica]
        wanted += lanes_to_claim(lanes, len(self._held_lanes()), self._lanes, others)
        holders = {name: holder for name in wanted if (holder := found.leases[name].holder) is not None}
        if wanted:
            await self._store.end_sessions_of(set(holders.values()) - {self._replica})
            await self._claim(wanted, holders.keys())

    def _retire_surplus(self, replicas: Mapping[str, int]) -> None:
        staying = [name for name in self._held_lanes() if name not in self._retiring]
        for name in lanes_to_release(staying, self._lanes, len(replicas), replicas):
            self._retiring.add(name)
            for user in self._users:
                user.lease_retiring(name)

    def _held_lanes(self) -> list[str]:
        return sorted(name for name in self._held if name != READER)

    async def _claim(self, names: Sequence[str], abandoned: Collection[str]) -> None:
        until = time.monotonic() + self._lease_s * _TRUST
        gained = await self._store.claim(names)
        for name, epoch in gained.items():
            self._held[name] = Hold(epoch, until)
        if gained:
            emit(Event.LEASE_ACQUIRED, leases=list(gained))
        for name, epoch in gained.items():
            for user in self._users:
                user.lease_gained(name, epoch, after_crash=name in abandoned)

    async def _give_up_idle(self) -> None:
        """Free the retiring leases under which nothing runs any more."""
        idle = [name for name in self._retiring if all(user.is_idle(name) for user in self._users)]
        for name in idle:
            self._lose(name)
        if idle:
            await self._store.free(idle)
            self._signals.free.send()

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
