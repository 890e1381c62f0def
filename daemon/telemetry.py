"""Saying what happened: one line per event of the catalogue, and no flood.

An event that comes too often, unless it is an error or part of the audit trail, is written a limited number of times
a second; how many lines were left out is said as soon as the second is over. What is only tried again is said once a
second at most, for each thing that is tried: the next line says it all. So a burst costs neither the daemon nor the
log shipper, and no loop fills a disk.
"""

import time
from typing import Any, Final

from loguru import logger

from daemon.event import Event, Level

LINES_PER_SECOND: Final = 50  # of one event below error
NEVER_LEFT_OUT: Final = frozenset({Event.API_CHANGED})  # the audit trail
TRIED_AGAIN: Final = frozenset({Event.STORE_UNAVAILABLE, Event.READER_REOPENED})
_TRIED_S: Final = 1.0  # between two lines of those about the same thing


class LineBudget:
    """Counts lines per event within the current second of the monotonic clock."""

    def __init__(self, lines_per_second: int) -> None:
        self._limit = lines_per_second
        self._second = 0
        self._counts: dict[Event, int] = {}
        self._told_at: dict[tuple[Event, str], float] = {}

    def take(self, event: Event, now: float, during: str = "") -> tuple[bool, dict[Event, int]]:
        """Return whether ``event`` may be written, and what was left out in a second that has ended.

        ``during`` names what is tried again.
        """
        left_out: dict[Event, int] = {}
        if int(now) != self._second:
            left_out = {each: count - self._limit for each, count in self._counts.items() if count > self._limit}
            self._second = int(now)
            self._counts.clear()
        if event.level is Level.ERROR or event in NEVER_LEFT_OUT:
            return True, left_out
        if event in TRIED_AGAIN:
            return self._is_due((event, during), now), left_out
        count = self._counts.get(event, 0) + 1
        self._counts[event] = count
        return count <= self._limit, left_out

    def _is_due(self, tried: tuple[Event, str], now: float) -> bool:
        """Return whether it is a second since ``tried`` was told of."""
        is_due = now - self._told_at.get(tried, float("-inf")) >= _TRIED_S
        if is_due:
            self._told_at[tried] = now
        return is_due


_budget: Final = LineBudget(LINES_PER_SECOND)


def emit(event: Event, **fields: Any) -> None:
    """Log ``event`` with exactly the fields that its catalogue entry names, at its level.

    Nothing is checked here: a test holds every call in the source to the catalogue. Ids may be of any BSON type,
    ``error`` an exception (its stack goes into the line) or a text.
    """
    may_write, left_out = _budget.take(event, time.monotonic(), fields.get("during", ""))
    for each, count in left_out.items():
        _write(Event.LOG_LEFT_OUT, {"left_out": each.value, "count": count})
    if may_write:
        _write(event, fields)


def _write(event: Event, fields: dict[str, Any]) -> None:
    logger.bind(event=event.value, fields=fields).opt(depth=2).log(event.level.value, event.meaning)
