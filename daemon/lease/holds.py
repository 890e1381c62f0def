"""The leases held here, each with its epoch and the time until which it may be trusted."""

import time
from dataclasses import dataclass

from daemon.lease.store import lane_name


@dataclass(frozen=True, slots=True)
class Hold:
    """A lease held here: its epoch, and the monotonic time in seconds until which it may be trusted."""

    epoch: int
    trusted_until: float


class Holds(dict[str, Hold]):
    """The holds by the names of their leases. The keeper changes them, code that starts effects asks them."""

    def epoch_of(self, lane: int) -> int:
        """Return the epoch of a lane's lease, -1 if it is not held."""
        hold = self.get(lane_name(lane))
        return -1 if hold is None else hold.epoch

    def may_start(self, lane: int) -> bool:
        """Return whether an effect may start now in a lane."""
        return self.is_trusted(lane_name(lane))

    def is_trusted(self, name: str) -> bool:
        """Return whether an effect may start now under a lease."""
        hold = self.get(name)
        return hold is not None and time.monotonic() < hold.trusted_until
