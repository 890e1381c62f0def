"""A daemon in a process of its own in which something kills the process: an action's run, or a judgement.

``python -m tests.support.deadly URI DATABASE action|judgement``. An entity whose ``name`` is ``deadly`` does it, and
only in workflows named ``Deadly``.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from actions.context import Context
from actions.outcome import Done, Outcome
from daemon.stream import change_judge
from rules import judgement
from tests.support.daemon import running_daemon
from tests.support.stage import Stage

NAME = "deadly"
EXIT_CODE = 9


async def _die(context: Context) -> Outcome:
    if context.entity.get("name") == NAME:
        os._exit(EXIT_CODE)
    return Done({})


def _judge(workflow: Any, status: Any, change: Any, *others: Any, **more: Any) -> Any:
    entity: Mapping[str, Any] = change.entity or {}
    if workflow.name == "Deadly" and entity.get("name") == NAME:
        os._exit(EXIT_CODE)
    return judgement.judge(workflow, status, change, *others, **more)


async def _run(uri: str, database: str, what: str) -> None:
    stage = Stage()
    if what == "judgement":
        change_judge.__dict__["judge"] = _judge
    else:
        stage.plays("local", _die)
        stage.plays("remote", _die)
    async with running_daemon(uri, database, parse_action=stage.parse_action, lease_s=2, replica_name="deadly"):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:4]))
