"""The real mongosh, as an admin uses it. A missing one fails the test."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

MONGOSH: Final = Path(sys.prefix) / "mongosh/mongosh"


class Shell:
    """Runs commands in one database."""

    def __init__(self, address: str, home: Path) -> None:
        self._address = address
        settings = home / ".mongodb/mongosh/config"
        settings.parent.mkdir(parents=True)
        settings.write_text('{"enableTelemetry": false, "disableLogging": true}')
        self._environment = {"HOME": str(home), "PATH": os.environ["PATH"]}

    async def run(self, commands: str) -> Any:
        """Return what the last line says, as JSON."""
        assert MONGOSH.exists(), "mongosh is missing: .ci/test-programs installs it"
        arguments = ("--quiet", "--norc", "--json=relaxed", self._address, "--eval", commands)
        process = await asyncio.create_subprocess_exec(
            str(MONGOSH),
            *arguments,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            said, complaint = await process.communicate()
        assert process.returncode == 0, said + complaint
        return json.loads(said)
