"""Schedules at the start of a daemon, when nothing else happens."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from daemon.pace import AS_SHIPPED
from tests.support.commits import committed
from tests.support.daemon import running_daemon


async def test_a_schedule_is_attended_to_as_soon_as_the_daemon_reads(
    mongo_uri: str, database: AsyncDatabase[dict[str, Any]]
) -> None:
    async with running_daemon(mongo_uri, database.name, pace=AS_SHIPPED):
        # It sleeps for half a minute otherwise.
        await committed(database, lambda: database.workflow_state.find_one({"kind": "schedule"}), within_s=20)
