"""Delay the answers to wrong tokens: some are immediate, then one a second, by address and for all together.

A right token is never delayed, even if others try wrong ones from the same address: behind a proxy all share one.
That is safe, because a token is too long to be found by trying (16 characters at least).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

_MOST_ADDRESSES: Final = 1_000  # known at once; the one without a try for longest is forgotten
_LONGEST_WAIT_S: Final = 5.0  # a longer delay becomes an immediate refusal
_SHORTEST_WAIT_S: Final = 0.001
_IPV6_PREFIX: Final = 64  # one customer's addresses, as a rule


@dataclass(slots=True)
class _Pace:
    """Allows ``at_once`` tries, then one each ``every_s``. ``free_at``: monotonic time at which the next is due."""

    at_once: int
    every_s: float
    free_at: float = 0.0

    def wait_s(self, now: float) -> float:
        """Return how long the next one has to wait."""
        return max(self.free_at - now - (self.at_once - 1) * self.every_s, 0.0)

    def take(self, now: float) -> None:
        """Count one."""
        self.free_at = max(self.free_at, now) + self.every_s


class WrongTokens:
    """Counts wrong tokens."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._all = _Pace(at_once=100, every_s=0.1)
        self._by_address: OrderedDict[str, _Pace] = OrderedDict()

    async def wait(self, address: str) -> bool:
        """Return when a wrong token of this address may be answered; False, at once, where too many wait already."""
        now, pace = self._now(), self._pace(_place(address))
        wait_s = max(pace.wait_s(now), self._all.wait_s(now))
        if wait_s > _LONGEST_WAIT_S:
            return False
        pace.take(now)
        self._all.take(now)
        if wait_s > _SHORTEST_WAIT_S:
            await self._sleep(wait_s)
        return True

    def _pace(self, place: str) -> _Pace:
        pace = self._by_address.setdefault(place, _Pace(at_once=10, every_s=1.0))
        self._by_address.move_to_end(place)
        if len(self._by_address) > _MOST_ADDRESSES:
            self._by_address.popitem(last=False)
        return pace


def _place(address: str) -> str:
    """Return the address, or the network that counts as one address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(parsed, IPv6Address):
        return str(int(parsed) >> (128 - _IPV6_PREFIX)) if parsed.ipv4_mapped is None else str(parsed.ipv4_mapped)
    return address
