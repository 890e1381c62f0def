"""Make a directory that only its owner may use; refuse one of another user."""

import os
from pathlib import Path
from typing import Final

from config.error import ConfigError

_OWNER_ONLY: Final = 0o700


def make_private(directory: Path) -> None:
    """Make ``directory`` and its missing parents, or close it to others; raise ConfigError if it is another user's."""
    try:
        for missing in reversed([each for each in (directory, *directory.parents) if not each.exists()]):
            missing.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        check_private(directory)
        directory.chmod(_OWNER_ONLY)
    except OSError as error:
        raise ConfigError(f"embedded_directory: cannot write to {directory}: {error.strerror}") from error


def check_private(directory: Path) -> None:
    """Raise ConfigError if ``directory`` is there and belongs to another user, who could have put anything into it."""
    try:
        owner = directory.stat().st_uid
    except FileNotFoundError:
        return
    if owner != os.geteuid():
        raise ConfigError(
            f"embedded_directory: {directory} belongs to user {owner}; expected user {os.geteuid()}, who runs this "
            "process: set REFLEXD_EMBEDDED_DIRECTORY to another place, or MONGODB_URI"
        )
