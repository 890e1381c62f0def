"""Read while the reader's lease is held here, and not otherwise."""

from daemon.lease.store import READER
from daemon.stream.reader import Reader


class ReaderRole:
    """Follows the reader's lease, not those on lanes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def lease_gained(self, name: str, epoch: int, *, after_crash: bool) -> None:
        """Read from now on; in small batches if the last reader may have crashed because of what it read."""
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
