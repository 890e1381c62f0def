"""Where the daemon's time goes in a burst, sampled by py-spy: ``make profile`` writes a flame graph.

``python -m benchmarks.flame [--leads N] [--action create_task|update_field] [--one-in 10] [--format raw]
[--out FILE]``. The daemon is started under py-spy, because sampling one's own child needs no privilege.
"""

import argparse
import shutil
import sys
from pathlib import Path

import psutil
import uvloop
from loguru import logger

from benchmarks.burst import WARM_UP, ended, writing
from benchmarks.contender import Arena, Server, prepared
from benchmarks.place import PLACE, served
from benchmarks.program import Program, running
from benchmarks.workload import Workload, workflow_document

_EXTENSIONS = {"flamegraph": "svg", "raw": "txt", "speedscope": "json"}


def main() -> None:
    """Sample one burst."""
    parser = argparse.ArgumentParser(prog="benchmarks.flame", description=__doc__)
    parser.add_argument("--leads", type=int, default=30_000)
    parser.add_argument("--action", choices=["create_task", "update_field"], default="create_task")
    parser.add_argument("--one-in", type=int, default=1, help="every how many leads one matches")
    parser.add_argument("--format", choices=list(_EXTENSIONS), default="flamegraph")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logger.disable("daemon")
    out = arguments.out or PLACE / f"burst.{_EXTENSIONS[arguments.format]}"
    with served() as server:
        workload = Workload(arguments.action, arguments.one_in)
        uvloop.run(_sample(server, workload, arguments.leads, arguments.format, out.resolve()))
    sys.stderr.write(f"written: {out}\n")


async def _sample(server: Server, workload: Workload, leads: int, form: str, out: Path) -> None:
    recorder = ["--format", form, "--output", str(out), "--rate", "200"]
    async with prepared(server) as database:
        await database["workflows"].insert_one(workflow_document(workload))
        environment = {"MONGODB_URI": server.uri, "MONGODB_DATABASE": database.name}
        under = [str(shutil.which("py-spy", path=str(Path(sys.executable).parent))), "record", *recorder, "--"]
        async with running(["daemon", "run"], server.directory / "flame", environment, under) as recording:
            await recording.started("daemon.started")
            stage = Arena(server, database, (recording,))
            wanted = 0
            for count in (WARM_UP, leads):
                wanted += workload.matching(count)
                async with writing(stage, count, workload.one_in, None) as writer:
                    await writer.give_word()
                    await ended(stage, wanted)
                    await writer.heard()
            await _end_daemon(recording)


async def _end_daemon(recording: Program) -> None:
    """End the daemon, by its process id: py-spy writes what it has when its child is gone."""
    for child in psutil.Process(recording.pid).children():
        child.terminate()
    await recording.ended()


if __name__ == "__main__":
    main()
