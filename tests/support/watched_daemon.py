"""The daemon as it ships, with a watchdog in its event loop: ``python -m tests.support.watched_daemon run``.

Every stall of more than half of what is allowed is a line of JSON in the file that ``STALLS`` names.
"""

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson

from daemon import process
from daemon.app import Daemon
from daemon.cli import main
from tests.support.watchdog import Stall, Watchdog

WORTH_A_LINE_S: Final = 0.05
_FILE: Final = Path(os.environ.pop("STALLS", "/dev/null"))


class _Watched(Daemon):
    async def start(self) -> None:
        await super().start()
        self._watching = asyncio.create_task(Watchdog(_tell).watch(), name="watchdog")


def _tell(stall: Stall) -> None:
    if stall.length_s >= WORTH_A_LINE_S:
        with _FILE.open("ab") as file:
            file.write(orjson.dumps(asdict(stall), option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    setattr(process, "Daemon", _Watched)  # noqa: B010
    main()
