"""What the reader tells those who run what it commits, and what it asks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from daemon.executions.job import Job
from rules.head import Head


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction brought: for the lanes, the switches and the log."""

    jobs: Sequence[Job]
    ended: Sequence[Job]
    heads: Sequence[Head]
    edits: Sequence[tuple[Head | None, Head]]  # the heads, each with the one before it
    rewritten: Sequence[Any]  # ids of workflows whose documents were written anew, with nothing new in them
    commit: int


class StreamUser(Protocol):
    """Whom the reader tells and asks. Nothing here may wait."""

    def committed(self, committed: Committed) -> None:
        """Pass on what a transaction brought: told of every one, in order."""

    def reader_started(self) -> None:
        """Look at everything anew: the workflows are loaded, and the stream is read from there."""

    def replayed(self) -> None:
        """Look at the workflows anew: after a reset into the past, the stream is where it was before."""

    def collections_changed(self) -> None:
        """Look at the collections: some were dropped or renamed."""

    def reader_halted(self, pause_s: float) -> None:
        """Let others read: a person has to decide, and this replica does not want to for so many seconds."""

    def has_room(self) -> bool:
        """Return whether the executor keeps up."""

    def has_nothing_queued(self) -> bool:
        """Return whether this process knows of everything that is queued, and that there is nothing."""
