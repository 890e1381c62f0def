"""Limit how many log lines of one kind are written a second, and count the lines left out."""

from collections.abc import Mapping
from typing import Final

LINES_PER_SECOND: Final = 50  # of one event below error
LIBRARY_LINES_PER_SECOND: Final = 10  # of one logger of a library, whatever its level


class LineBudget:
    """Counts lines by name within the current second of the monotonic clock."""

    def __init__(self) -> None:
        self._second = 0
        self._written: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def take(self, name: str, limit: int, now: float) -> bool:
        """Return whether one more line of ``name`` may be written."""
        self._turn(now)
        count = self._written.get(name, 0) + 1
        self._written[name] = count
        if count > limit:
            self._left_out[name] = self._left_out.get(name, 0) + 1
        return count <= limit

    def told(self, now: float) -> Mapping[str, int]:
        """Return, once, how many lines of each name were left out in seconds that are over."""
        if int(now) == self._second or not self._left_out:
            return {}
        left_out, self._left_out = self._left_out, {}
        return left_out

    def _turn(self, now: float) -> None:
        if int(now) != self._second:
            self._second, self._written = int(now), {}


BUDGET: Final = LineBudget()  # of this process: events and libraries report left-out lines together
