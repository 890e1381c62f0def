"""What the API says of itself is true: a program writes requests by its description, and breaks it on purpose."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.daemon import running_daemon

EXAMPLES = 1  # of every operation and phase; more when somebody hunts


@pytest.mark.timeout(300)
async def test_requests_made_from_the_description_find_no_lie_in_it(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).with_name("schemathesis"))
    async with running_daemon(mongo_uri, database.name, api_port=port):
        process = await asyncio.create_subprocess_exec(
            program,
            "run",
            f"http://127.0.0.1:{port}/openapi.json",
            *("--seed", "1", "--max-examples", str(EXAMPLES), "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8000:]
