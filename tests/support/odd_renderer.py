"""A rendering process that does what its "templates" say, for tests of what happens to one."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from actions.rendering_engine import Engine
from actions.rendering_worker import main

_kept: list[bytes] = []


def loop() -> str:
    while True:
        pass


def allocate() -> str:
    return str(len(bytearray(500_000_000)))


def crash() -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return ""


def work() -> str:
    for _ in range(3_000_000):
        pass
    return "worked"


def keep() -> str:
    _kept.append(bytes(8_000_000).replace(b"\0", b"x"))
    return str(os.getpid())


def process() -> str:
    return str(os.getpid())


def environment() -> str:
    return " ".join(sorted(os.environ))


def descriptors() -> str:
    return " ".join(sorted(entry.name for entry in Path("/proc/self/fd").iterdir() if entry.exists()))


def murder() -> str:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


DEEDS: Final[Mapping[str, Callable[[], str]]] = {
    deed.__name__: deed for deed in (loop, allocate, crash, work, keep, process, environment, descriptors, murder)
}


class OddEngine(Engine):
    """Does the deed that each source names, in the place of rendering it."""

    def render(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Return what the deeds returned."""
        return {name: DEEDS[source]() for name, source in request["sources"].items()}


if __name__ == "__main__":
    main(sys.argv[1:], OddEngine())
