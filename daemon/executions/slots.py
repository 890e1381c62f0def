"""Limit how many steps work outside MongoDB at once, and how many begin in a second.

There is one limit for all steps, and further limits for steps of one workflow, host or channel (such as e-mail). A step
gets a slot of each limit that applies to it, or none. Pure: the caller passes the time, in seconds of a monotonic
clock.
"""

import math
from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

Key = tuple[str, Hashable]  # the name of a limit, such as "host", and its subject, such as the host's name


@dataclass(frozen=True, slots=True)
class Limit:
    """``at_once``: steps at work at the same time. ``per_second``: steps that begin within a second. None: any number.

    A fraction is applied over a longer time: 0.1 a second is one in ten seconds, and 2.5 are three in 1.2 seconds.
    """

    at_once: int | None = None
    per_second: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The slots of one step, until they are released."""

    uses: tuple["_Use", ...]
    at: float


class Slots:
    """Gives slots out and takes them back."""

    def __init__(self, at_once: int, limits: Mapping[str, Limit]) -> None:
        """``at_once`` is for all steps together; ``limits`` are by name, other names are not limited."""
        self._at_once = at_once
        self._limits = limits
        self._uses: dict[Key, _Use] = {}
        self._taken: set[Taken] = set()
        self.released = 0  # how often slots were released

    @property
    def is_full(self) -> bool:
        """Whether as many steps are at work as all steps together may be."""
        return len(self._taken) >= self._at_once

    def take(self, keys: Iterable[Key], now: float) -> Taken | float:
        """Return the slots of a step that needs ``keys``, or the time to try again: infinite means after a release."""
        if self.is_full:
            return math.inf
        uses = [self._use(key) for key in keys if key[0] in self._limits]
        until = max((use.free_at(now) for use in uses), default=now)
        if until > now:
            return until
        for use in uses:
            self._uses[use.key] = use
            use.take(now)
        taken = Taken(tuple(uses), now)
        self._taken.add(taken)
        return taken

    def release(self, taken: Taken, *, has_begun: bool = True) -> None:
        """Release slots; those of a step that has not begun do not count for the rate. Twice raises KeyError."""
        self._taken.remove(taken)
        self.released += 1
        for use in taken.uses:
            use.release(taken.at, has_begun=has_begun)
            if use.is_idle:
                self._uses.pop(use.key, None)

    def _use(self, key: Key) -> "_Use":
        return self._uses.get(key) or _Use(key, self._limits[key[0]])


class _Use:
    """The use of one key."""

    def __init__(self, key: Key, limit: Limit) -> None:
        self.key: Final = key
        self._at_once = limit.at_once
        self._count = math.ceil(limit.per_second or 0)
        self._span_s = self._count / limit.per_second if limit.per_second else 0.0
        self._active = 0
        self._begun: deque[float] = deque()  # the times of begins that count for the rate, if it is limited

    @property
    def is_idle(self) -> bool:
        return not self._active and not self._begun

    def free_at(self, now: float) -> float:
        if self._at_once is not None and self._active >= self._at_once:
            return math.inf
        while self._begun and self._begun[0] + self._span_s <= now:
            self._begun.popleft()
        return self._begun[0] + self._span_s if self._begun and len(self._begun) >= self._count else now

    def take(self, now: float) -> None:
        self._active += 1
        if self._count:
            self._begun.append(now)

    def release(self, taken_at: float, *, has_begun: bool) -> None:
        self._active -= 1
        if not has_begun and taken_at in self._begun:
            self._begun.remove(taken_at)
