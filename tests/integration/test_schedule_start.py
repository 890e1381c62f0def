"""Schedules at the start of a daemon, when nothing else happens."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.support.daemon import running_daemon
from tests.support.poll import eventually


async def test_a_schedule_is_attended_to_as_soon_as_the_daemon_reads(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    async with running_daemon(mongo_uri, database.name):
        await eventually(lambda: database.workflow_state.find_one({"kind": "schedule"}), within_s=5)
