"""Read while the reader's lease is held here, and not otherwise."""

from daemon.lease.store import READER
from daemon.stream.reader import Reader


class ReaderRole:
    """Learns of the reader's lease; those on lanes are none of its business."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def lease_gained(self, name: str, epoch: int, *, after_crash: bool) -> None:
        """Read from now on; with care where the last reader may have died of what it read."""
        if name == READER:
            self._reader.allow(epoch, after_crash=after_crash)

    def lease_lost(self, name: str) -> None:
        """Stop reading."""
        if name == READER:
            self._reader.forbid()

    def lease_retiring(self, name: str) -> None:
        """Do nothing: the role is given up only by a reader that has stopped."""

    def is_idle(self, name: str) -> bool:
        """Return whether the lease may go: that of the reader always."""
        return True
