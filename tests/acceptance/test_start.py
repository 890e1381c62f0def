"""What the process as shipped says, and how it exits, when it cannot work with the server it was given."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.mongo.mongod import spawn_mongod
from tests.support.mongod import free_port
from tests.support.poll import eventually
from tests.support.replica import Replica


@pytest.fixture
def single_server(tmp_path: Path) -> Iterator[str]:
    """The URI of a server that is no replica set."""
    (tmp_path / "data").mkdir()
    port = free_port()
    arguments = ["--dbpath", str(tmp_path / "data"), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"]
    with (tmp_path / "mongod.log").open("wb") as log:
        process = spawn_mongod(arguments, log)
    yield f"mongodb://127.0.0.1:{port}/"
    process.terminate()
    process.wait()


async def test_a_single_server_is_refused_before_anything_is_written_to_it(single_server: str, tmp_path: Path) -> None:
    replica = Replica(single_server, "crm", tmp_path, "refused")
    replica.spawn()
    await eventually(lambda: not replica.is_alive)
    assert replica.process.returncode == 78
    assert "expected a replica set, found a single server" in replica.lines("config.refused")[0]["error.message"]
    assert replica.lines("init.done") == []
