"""Decisions that wait for the next transaction: while changes keep coming, nobody waits for them.

A transaction has a price whatever it holds. Under a steady stream of changes that start nothing, each would be paid
for a handful of decisions. So a batch that holds nothing but decisions is kept in memory, with its events, until
something else is committed, it grows large, or ``LONGEST_S`` have passed since the last commit. What a crash takes
away is read again from the checkpoint, and makes the same decisions.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from daemon.stream.batch import Batch
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.decode import Event

LONGEST_S: Final = 0.1
_MOST_EVENTS: Final = 1_000
_MOST_BYTES: Final = 1024 * 1024


class Deferral:
    """Batches of decisions that are not committed yet, and the events they came from."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._batch = Batch()
        self._events: list[Event] = []
        self._bytes = 0
        self._committed_at = 0.0
        self.position: Checkpoint | None = None  # after the deferred events; None while there are none
        self.begun = asyncio.Event()  # set while there are some

    @property
    def rest_s(self) -> float:
        """How long what waits may still wait, in seconds."""
        return max(self._committed_at + LONGEST_S - self._monotonic(), 0.0)

    def takes(self, batch: Batch, events: Sequence[Event]) -> bool:
        """Return whether a batch may wait: it holds decisions only, is small, and the last commit was just now."""
        return (
            batch.is_quiet
            and self._monotonic() < self._committed_at + LONGEST_S
            and len(self._events) + len(events) <= _MOST_EVENTS
            and self._bytes + sum(event.size for event in events) <= _MOST_BYTES
        )

    def add(self, batch: Batch, events: Sequence[Event], position: Checkpoint) -> None:
        """Keep a batch; ``position`` is the checkpoint after it."""
        self._batch.decisions += batch.decisions
        self._batch.refusals += batch.refusals
        self._events += events
        self._bytes += sum(event.size for event in events)
        self.position = position
        self.begun.set()

    def put_before(self, batch: Batch) -> None:
        """Put the decisions that waited into a batch that is about to be committed."""
        batch.decisions[:0] = self._batch.decisions
        batch.refusals[:0] = self._batch.refusals

    def committed(self) -> None:
        """Forget what waited: it is stored."""
        self.taken_back()
        self._committed_at = self._monotonic()

    def taken_back(self) -> list[Event]:
        """Return the events that wait, to be taken in anew, and defer nothing until the next commit."""
        events = self._events
        self._batch, self._events, self._bytes = Batch(), [], 0
        self._committed_at, self.position = 0.0, None
        self.begun.clear()
        return events
