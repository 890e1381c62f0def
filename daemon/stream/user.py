"""The interface between the reader and the parts that run the executions it commits."""

from typing import Protocol

from daemon.executions.committed import Committed


class StreamUser(Protocol):
    """The parts that the reader informs and queries. Only the first two methods may wait."""

    async def reading_began(self) -> None:
        """Start what runs beside the reader: the workflows are loaded, and the stream is read from there."""

    async def reading_ended(self) -> None:
        """Stop what runs beside the reader: the stream is not read any more, or was not opened."""

    def committed(self, committed: Committed) -> None:
        """Pass on the contents of a transaction; called for every one, in order."""

    def replayed(self) -> None:
        """Load the workflows anew: after a reset into the past, the stream has reached its former position."""

    def collections_changed(self) -> None:
        """Check the collections: some were dropped or renamed."""

    def reader_halted(self, pause_s: float) -> None:
        """Give the reader's lease to others for so many seconds: a person has to decide."""

    def has_room(self) -> bool:
        """Return whether the executor keeps up."""

    def has_nothing_queued(self) -> bool:
        """Return whether this process knows that no execution is queued."""
