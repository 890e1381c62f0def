"""Check that nobody else can have written the ``.env`` of the working directory.

``.env`` holds tokens and addresses, and the working directory may be anywhere. A file that another user put there, or
may change, is refused with an error. Passing over such a file in silence was rejected: an operator who wrote the file
for the daemon would not notice that the daemon runs without it.
"""

import os
import stat
from pathlib import Path
from typing import Final

from config.error import ConfigError

_ROOT: Final = 0
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def checked_dotenv_file(path: Path) -> Path | None:
    """Return ``path``, or None if there is no such file; raise ConfigError if others may write it or its directory.

    Both ends of a symbolic link are looked at.
    """
    if not os.path.lexists(path) or path.is_dir():  # some keep a virtual environment there
        return None
    places = [path, path.parent]
    if path.is_symlink():
        places += [path.resolve(), path.resolve().parent]
    for place in dict.fromkeys(each.absolute() for each in places):
        fault = _fault_of(place, is_first=place == path.absolute())
        if fault:
            raise ConfigError(f"{path}: not read, because {place} {fault}")
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        raise ConfigError(f"{path}: expected a file of UTF-8 text that can be read, found another") from None
    return path


def _fault_of(place: Path, *, is_first: bool) -> str:
    """Return what lets others write there, empty if nothing does."""
    try:
        found = place.lstat() if is_first else place.stat()
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if found.st_uid not in (os.geteuid(), _ROOT):
        return f"belongs to user {found.st_uid}; expected user {os.geteuid()}, who runs this process, or root"
    if found.st_mode & _OTHERS_WRITE and not stat.S_ISLNK(found.st_mode):  # a link's own mode means nothing
        return f"may be written by others; `chmod go-w {place}` ends that"
    return ""
