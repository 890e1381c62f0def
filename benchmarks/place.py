"""Where benchmarks work: ``.bench/`` of the project, and a mongod there that lives as long as one run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from benchmarks.contender import Server
from benchmarks.program import ROOT
from tests.support.mongod import Mongod

PLACE: Final = ROOT / ".bench"


@contextmanager
def served() -> Iterator[Server]:
    """Yield a fresh single-node replica set; end it and remove its data afterwards, the logs of programs stay."""
    PLACE.mkdir(exist_ok=True)
    directory = Path(mkdtemp(prefix="run-", dir=PLACE))
    mongod = Mongod(directory / "mongod", oplog_mb=2_048, cache_gb=1.0)
    try:
        mongod.start()
        assert mongod.process is not None
        yield Server(mongod.uri, mongod.process.pid, directory)
    finally:
        mongod.stop()
        shutil.rmtree(directory / "mongod", ignore_errors=True)
