"""Put the room together: what the replicas do among themselves, announcements and leases."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.announcement import Announcements
from daemon.foundation import Foundation
from daemon.lease.holds import Holds
from daemon.lease.keeper import LeaseKeeper, LeaseSignals, LeaseUser
from daemon.poll import Signal


def lease_room(
    base: Foundation, holds: Holds, users: Sequence[LeaseUser], sessions: Callable[[], Sequence[Mapping[str, Any]]]
) -> tuple[Announcements, LeaseKeeper]:
    """Return what signals other replicas and hears them, and what keeps ``holds`` for ``users``: see LeaseKeeper."""
    settings, signals, freed = base.settings, base.signals, Signal()
    announcements = Announcements(
        base.database,
        settings.collections.announcements,
        settings.replica_name,
        told=signals.others,
        heard=(signals.queue, freed),
    )
    return announcements, LeaseKeeper(
        base.database[settings.collections.state],
        settings.replica_name,
        lanes=settings.lanes,
        lease_s=settings.lease_s,
        holds=holds,
        users=users,
        signals=LeaseSignals(signals.others, freed, lambda: announcements.is_heard),
        sessions=sessions,
    )
