"""The daemon as it ships, with a watchdog in its event loop; every word asks it for ``{wall_ms, cpu_ms, where}``.

Each is the longest time since the last word during which nothing else could run in the loop: by the clock, and by the
processor time of its thread, which leaves out what the machine was busy with otherwise. ``where`` is the innermost
place of ours that was at work when the longest one was noticed.
"""

import asyncio
import sys
import threading
import time
from types import FrameType
from typing import Final

from benchmarks.child import say
from daemon import process
from daemon.app import Daemon
from daemon.cli import main

_BEAT_S: Final = 0.005
_LATE_S: Final = 0.05
_DEPTH: Final = 4  # places of ours that are told, innermost first


class _Watchdog:
    def __init__(self) -> None:
        self._wall_s = self._cpu_s = 0.0
        self._where = ""
        self._beat_at = time.monotonic()
        self._loop_thread = threading.get_ident()

    async def watch(self) -> None:
        """Measure from now on."""
        for target in (self._answer, self._look):
            threading.Thread(target=target, daemon=True).start()
        while True:
            self._beat_at, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(_BEAT_S)
            self._wall_s = max(self._wall_s, time.monotonic() - self._beat_at - _BEAT_S)
            self._cpu_s = max(self._cpu_s, time.thread_time() - cpu)

    def _answer(self) -> None:
        for _ in sys.stdin:
            told = {"wall_ms": self._wall_s * 1e3, "cpu_ms": self._cpu_s * 1e3, "where": self._where}
            self._wall_s = self._cpu_s = 0.0
            self._where = ""
            say(**told)

    def _look(self) -> None:
        longest = 0.0
        while True:
            time.sleep(_BEAT_S)
            late_s = time.monotonic() - self._beat_at - _BEAT_S
            if not self._where:
                longest = 0.0
            if late_s > max(longest, _LATE_S):
                longest = late_s
                self._where = _places(sys._current_frames().get(self._loop_thread))


def _places(frame: FrameType | None) -> str:
    places: list[str] = []
    while frame is not None and len(places) < _DEPTH:
        name = frame.f_globals.get("__name__", "")
        if name.split(".")[0] in ("daemon", "rules", "actions", "config"):
            places.append(f"{name}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(places)


class _Watched(Daemon):
    async def start(self) -> None:
        self._watching = asyncio.create_task(_Watchdog().watch(), name="watchdog")
        await super().start()


if __name__ == "__main__":
    setattr(process, "Daemon", _Watched)  # noqa: B010
    main()
