"""Lock a directory for one daemon; the kernel releases the lock when its holder ends, in whatever way."""

import fcntl
import os
from pathlib import Path
from typing import IO

from config.error import ConfigError
from daemon.mongo.private_directory import make_private


class DirectoryLock:
    """An exclusive lock on ``path``, which holds the process id of its holder; made when missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock; raise ConfigError, naming the holder, when another process has it."""
        make_private(self._path.parent)
        try:
            file = self._path.open("a+")
        except OSError as error:
            raise ConfigError(f"embedded_directory: cannot write to {self._path.parent}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise ConfigError(
                f"embedded_directory: {self._path.parent} is in use by another reflexd (process {holder}): stop that "
                "one, set MONGODB_URI so that both use one MongoDB, or set REFLEXD_EMBEDDED_DIRECTORY to another place"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def is_held_elsewhere(self) -> bool:
        """Return whether somebody else has the lock at this moment."""
        if self._file is not None or not self._path.exists():
            return False
        with self._path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def release(self) -> None:
        """Release the lock; does nothing when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None
