"""Log events of the catalogue, one line each, and limit how many lines a second.

An event that comes too often, unless it is an error or part of the audit log, is written a limited number of times a
second; after each second one line counts the lines left out. An event about a repeated try is written at most once a
second for each thing that is tried. So a burst of events burdens neither the daemon nor the log shipper, and no loop
fills a disk.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from loguru import logger

from config.line_budget import BUDGET, LINES_PER_SECOND, LineBudget
from config.log import is_written
from daemon.event import Event, Level

NEVER_LEFT_OUT: Final = frozenset({Event.API_CHANGED})  # the audit log
TRIED_AGAIN: Final = frozenset({Event.STORE_UNAVAILABLE, Event.READER_REOPENED})
_TRIED_S: Final = 1.0  # between two lines about tries of the same thing


class EventBudget:
    """Decides which events are written."""

    def __init__(self, lines: LineBudget, lines_per_second: int) -> None:
        self._lines = lines
        self._limit = lines_per_second
        self._told_at: dict[tuple[Event, str], float] = {}

    def take(self, event: Event, now: float, during: str = "") -> tuple[bool, Mapping[str, int]]:
        """Return whether ``event`` may be written, and how many lines were left out in a second that has ended.

        ``during`` names what is tried again.
        """
        left_out = self._lines.told(now)
        if event.level is Level.ERROR or event in NEVER_LEFT_OUT:
            return True, left_out
        if event in TRIED_AGAIN:
            return self._is_due((event, during), now), left_out
        return self._lines.take(event, self._limit, now), left_out

    def _is_due(self, tried: tuple[Event, str], now: float) -> bool:
        """Return whether the last line about ``tried`` is a second old."""
        is_due = now - self._told_at.get(tried, float("-inf")) >= _TRIED_S
        if is_due:
            self._told_at[tried] = now
        return is_due


_budget: Final = EventBudget(BUDGET, LINES_PER_SECOND)


def is_logged(event: Event) -> bool:
    """Return whether ``event`` is of a level that is written; check before computing the fields of many events."""
    return is_written(event.level)


def emit(event: Event, **fields: Any) -> None:
    """Log ``event`` with exactly the fields that its catalogue entry names, at its level.

    The fields are not checked here: a test compares every call in the source with the catalogue. Ids may be of any BSON
    type, ``error`` an exception (its stack goes into the line) or a text.
    """
    may_write, left_out = _budget.take(event, time.monotonic(), fields.get("during", ""))
    for name, count in left_out.items():
        _write(Event.LOG_LEFT_OUT, {"left_out": str(name), "count": count})
    if may_write:
        _write(event, fields)


def _write(event: Event, fields: dict[str, Any]) -> None:
    logger.bind(event=event.value, fields=fields).opt(depth=2).log(event.level.value, event.meaning)
