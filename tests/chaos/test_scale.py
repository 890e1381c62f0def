"""Many executions in the collection: nothing scans them, and a burst of due ones leaves the memory flat.

``SCALE=1000000 make test ARGS=tests/chaos/test_scale.py`` is the full size.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.commits import committed
from tests.support.crowd import insert_crowd
from tests.support.daemon import reading, running_daemon
from tests.support.load import FOLLOW_UP, prepared_load
from tests.support.poll import eventually
from tests.support.replica import Replica

Database = AsyncDatabase[dict[str, Any]]

pytestmark = pytest.mark.tampers  # the crowd is made by hand

EXECUTIONS: Final = int(os.environ.get("SCALE", "8000"))
MOST_EXAMINED: Final = 3_000  # documents, by one query
FLAT_MB: Final = 50
SOON: Final = timedelta(hours=1)


@pytest.fixture
async def crowded(database: Database, mongo_uri: str) -> AsyncIterator[Database]:
    """A database with many executions that wait for an hour, on entities of which none exists any more."""
    await prepared_load(database)
    async with running_daemon(mongo_uri, database.name) as daemon:
        await reading(daemon)
    await insert_crowd(database, FOLLOW_UP, EXECUTIONS, datetime.now(UTC) + SOON)
    yield database
    await database.command({"profile": 0})


@pytest.mark.timeout(900)
async def test_nothing_that_runs_all_the_time_scans_the_executions(crowded: Database, mongo_uri: str) -> None:
    await crowded.command({"profile": 2})
    async with running_daemon(mongo_uri, crowded.name, status_interval_s=2) as daemon:
        await reading(daemon)
        for number in range(20):
            await crowded.leads.insert_one({"n": number})
        await committed(crowded, lambda: _has(crowded, 20, status="completed", workflow_id=FOLLOW_UP))
        await eventually(lambda: asked_of(crowded, at_least=30))
    await crowded.command({"profile": 0})
    asked = await asked_of(crowded, at_least=30)
    scanning = [each for each in asked if "COLLSCAN" in each.get("planSummary", "")]
    assert [each["command"] for each in scanning] == []
    counting = ("count", "aggregate")  # what the status line and the answers to admins count
    greedy = [each for each in asked if each.get("docsExamined", 0) > MOST_EXAMINED and not _is_count(each, counting)]
    assert [(each["planSummary"], each["docsExamined"], each["command"]) for each in greedy] == []


async def asked_of(database: Database, *, at_least: int) -> list[dict[str, Any]]:
    """Return what the daemon asked of the executions."""
    wanted = {"ns": f"{database.name}.workflow_executions", "appName": {"$regex": "^reflexd"}}
    asked = await database["system.profile"].find(wanted).to_list()
    assert len(asked) >= at_least, len(asked)
    return asked


@pytest.mark.timeout(1800)
async def test_a_burst_of_due_executions_leaves_the_memory_flat(
    crowded: Database, mongo_uri: str, tmp_path: Path
) -> None:
    replica = Replica(mongo_uri, crowded.name, tmp_path, "replica", api_port=0)
    try:
        await replica.start()
        for number in range(500):  # so that everything that is made once is there
            await crowded.leads.insert_one({"n": number})
        await committed(crowded, lambda: _has(crowded, 500, status="completed", workflow_id=FOLLOW_UP))
        process = psutil.Process(replica.process.pid)
        before = process.memory_info().rss
        peak = before
        now = datetime.now(UTC)
        await crowded.workflow_executions.update_many({"status": "waiting"}, {"$set": {"due_at": now}})

        async def is_done() -> bool:
            nonlocal peak
            peak = max(peak, process.memory_info().rss)
            return await _has(crowded, 0, status="waiting")

        await eventually(is_done, within_s=60 + EXECUTIONS / 200, every_s=0.2)
        assert (peak - before) / 2**20 < FLAT_MB
        assert await _has(crowded, EXECUTIONS + 500, status="completed", workflow_id=FOLLOW_UP)
    finally:
        replica.kill()


async def _has(database: Database, count: int, **wanted: Any) -> bool:
    return await database.workflow_executions.count_documents(wanted) == count


def _is_count(each: dict[str, Any], kinds: tuple[str, ...]) -> bool:
    return any(kind in each["command"] for kind in kinds)
