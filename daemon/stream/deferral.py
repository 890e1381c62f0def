"""Defer decisions to the next transaction while changes keep coming.

A transaction has a fixed cost. Under a steady stream of changes that start no execution, each transaction would store
only a few decisions. So writes that are only decisions stay in memory, with their events, until other writes are
committed, they grow large, or ``LONGEST_S`` have passed since the last commit. After a crash the reader reads the
events again from the checkpoint and makes the same decisions.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from daemon.stream.checkpoint import Checkpoint
from daemon.stream.decode import StreamEvent
from daemon.stream.writes import Writes

LONGEST_S: Final = 0.1
_MOST_EVENTS: Final = 1_000
_MOST_BYTES: Final = 1024 * 1024


class Deferral:
    """Decisions that are not committed yet, and the events they came from."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._writes = Writes()
        self._events: list[StreamEvent] = []
        self._bytes = 0
        self._committed_at = 0.0
        self.position: Checkpoint | None = None  # after the deferred events; None while there are none
        self.begun = asyncio.Event()  # set while there are some

    @property
    def rest_s(self) -> float:
        """How long the decisions may still wait, in seconds."""
        return max(self._committed_at + LONGEST_S - self._monotonic(), 0.0)

    def takes(self, writes: Writes, events: Sequence[StreamEvent]) -> bool:
        """Return whether writes may wait: they are only decisions, few of them, and the last commit was recent."""
        return (
            writes.is_quiet
            and self._monotonic() < self._committed_at + LONGEST_S
            and len(self._events) + len(events) <= _MOST_EVENTS
            and self._bytes + sum(event.size for event in events) <= _MOST_BYTES
        )

    def add(self, writes: Writes, events: Sequence[StreamEvent], position: Checkpoint) -> None:
        """Keep the writes of ``events``; ``position`` is the checkpoint after them."""
        self._writes.decisions += writes.decisions
        self._writes.refusals += writes.refusals
        self._events += events
        self._bytes += sum(event.size for event in events)
        self.position = position
        self.begun.set()

    def put_before(self, writes: Writes) -> None:
        """Put the decisions that waited before those that are about to be committed."""
        writes.decisions[:0] = self._writes.decisions
        writes.refusals[:0] = self._writes.refusals

    def committed(self) -> None:
        """Forget the decisions that waited: they are stored."""
        self.taken_back()
        self._committed_at = self._monotonic()

    def taken_back(self) -> list[StreamEvent]:
        """Return the events that wait, to be taken in anew, and defer nothing until the next commit."""
        events = self._events
        self._writes, self._events, self._bytes = Writes(), [], 0
        self._committed_at, self.position = 0.0, None
        self.begun.clear()
        return events
