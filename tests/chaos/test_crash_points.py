"""kill -9 at every boundary between read, decide, commit, effect and record: nothing lost, nothing doubled."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from daemon.crash_point import CrashPoint
from daemon.pace import AS_SHIPPED
from tests.support.commits import committed
from tests.support.daemon import reading, running_daemon
from tests.support.invariants import violations
from tests.support.load import WELCOME, Load, deliveries, mail_settings, prepared_load
from tests.support.poll import eventually
from tests.support.replica import Replica
from tests.support.smtp import MailServer, mail_server

Database = AsyncDatabase[dict[str, Any]]
Trigger = Callable[[Load, Replica], Coroutine[Any, Any, None]]

LEASE_S: Final = 1.0
LEADS: Final = 12
CRASH_S: Final = 90.0  # a point is reached within this time
PACE_S: Final = 0.1  # between leads while the daemon runs: several batches, little work
WAITING: Final = ObjectId("5f0000000000000000000011")
SWEEPING: Final = ObjectId("5f0000000000000000000012")
AT_START: Final = (CrashPoint.FIRST_START, CrashPoint.AFTER_CLAIM, CrashPoint.BEFORE_ANSWER)
UNDER_LOAD: Final = (
    CrashPoint.AFTER_READ,
    CrashPoint.AFTER_MATCH,
    CrashPoint.IN_INTAKE,
    CrashPoint.AFTER_INTAKE,
    CrashPoint.BEFORE_EFFECT,
    CrashPoint.AFTER_INTENT,
    CrashPoint.AFTER_EFFECT,
    CrashPoint.IN_GROUP_COMMIT,
    CrashPoint.AFTER_GROUP_COMMIT,
    CrashPoint.BETWEEN_STEPS,
)


@pytest.fixture
async def mails() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


async def started_once(load: Load, uri: str, mails: MailServer) -> None:
    """Let a first daemon store the first checkpoint and go in good order."""
    async with running_daemon(uri, load.database.name, lease_s=LEASE_S, **mail_settings(mails)) as daemon:
        await reading(daemon)


async def crashed(replica: Replica) -> None:
    assert await replica.ended() == -signal.SIGKILL, replica.tail()


async def recovered(load: Load, uri: str, mails: MailServer) -> None:
    """Run a healthy daemon until everything has ended; fail on any breach."""
    async with running_daemon(uri, load.database.name, lease_s=LEASE_S, **mail_settings(mails)):
        await load.done()
    assert await violations(load.database, load.since, load.expected(mails)) == []


@pytest.mark.parametrize("point", AT_START)
async def test_a_crash_at_the_start_leaves_everything_to_the_next_one(
    point: CrashPoint, mongo_uri: str, database: Database, tmp_path: Path, mails: MailServer
) -> None:
    load = await prepared_load(database, with_mail=True)
    replica = Replica(mongo_uri, database.name, tmp_path, "crashing", lease_s=LEASE_S, crash_at=point)
    replica.spawn()
    await crashed(replica)
    await started_once(load, mongo_uri, mails)
    await load.write(LEADS)
    await recovered(load, mongo_uri, mails)


@pytest.mark.parametrize("point", UNDER_LOAD)
async def test_a_crash_under_load_loses_and_doubles_nothing(
    point: CrashPoint, mongo_uri: str, database: Database, tmp_path: Path, mails: MailServer
) -> None:
    load = await prepared_load(database, with_mail=True)
    await started_once(load, mongo_uri, mails)
    settings = {"lease_s": LEASE_S, **mail_settings(mails)}
    replica = Replica(mongo_uri, database.name, tmp_path, "crashing", **settings, crash_at=f"{point}:2")
    await load.write(LEADS)
    replica.spawn()
    try:
        async with asyncio.timeout(CRASH_S):
            while replica.is_alive:
                await load.write(1)
                await asyncio.sleep(PACE_S)
    except TimeoutError as error:
        raise AssertionError(f"{point} was not reached: {replica.tail()}") from error
    finally:
        replica.kill()
    await recovered(load, mongo_uri, mails)


async def test_an_email_in_doubt_ends_uncertain_and_is_not_sent_again(
    mongo_uri: str, database: Database, tmp_path: Path, mails: MailServer
) -> None:
    load = await prepared_load(database, with_mail=True)
    await started_once(load, mongo_uri, mails)
    settings = {"lease_s": LEASE_S, **mail_settings(mails)}
    replica = Replica(
        mongo_uri, database.name, tmp_path, "crashing", **settings, crash_at=f"{CrashPoint.AFTER_EFFECT}:2"
    )
    await load.write(LEADS)
    replica.spawn()
    await crashed(replica)
    await recovered(load, mongo_uri, mails)
    times = Counter(deliveries(mails))
    mailed = await database.workflow_executions.find({"workflow_id": WELCOME}).to_list()
    statuses = [execution["actions_executed"][0]["status"] for execution in mailed]
    assert set(statuses) <= {"success", "uncertain"}
    assert [times[f"{execution['_id']}:0"] for execution in mailed if times[f"{execution['_id']}:0"] > 1] == []


async def test_a_switch_that_was_cut_off_is_applied_by_the_next_reader(
    mongo_uri: str, database: Database, tmp_path: Path, mails: MailServer
) -> None:
    load = await prepared_load(database)
    await database.workflows.insert_one(
        {
            "_id": WAITING,
            "name": "Waits",
            "trigger": {"type": "entity_created", "entity_type": "contact"},
            "actions": [{"type": "create_task", "delay": 3600}],
        }
    )
    await started_once(load, mongo_uri, mails)
    await database.contacts.insert_many([{"n": n} for n in range(5)])
    replica = Replica(mongo_uri, database.name, tmp_path, "crashing", lease_s=LEASE_S, crash_at=CrashPoint.AFTER_SWITCH)
    await replica.start()
    await eventually(lambda: _count(database, status="waiting") if replica.is_alive else True)
    await database.workflows.update_one({"_id": WAITING}, {"$set": {"status": "stopped"}})
    await crashed(replica)
    async with running_daemon(mongo_uri, database.name, lease_s=LEASE_S):
        await committed(database, lambda: _is_settled(database))
    assert await _count(database, status="cancelled") == 5
    assert await violations(database, load.since) == []


async def test_a_sweep_that_was_cut_off_goes_on_where_it_was(
    mongo_uri: str, database: Database, tmp_path: Path, mails: MailServer
) -> None:
    load = await prepared_load(database)
    await database.deals.insert_many([{"_id": n, "status": "open"} for n in range(1200)])
    await database.workflows.insert_one(
        {
            "_id": SWEEPING,
            "name": "Sweeps",
            "trigger": {"type": "scheduled", "schedule": "0 * * * *", "entity_type": "deal"},
            "conditions": [{"field": "status", "operator": "equals", "value": "open"}],
            "actions": [{"type": "create_task"}],
        }
    )
    async with running_daemon(mongo_uri, database.name, lease_s=LEASE_S):
        await committed(database, lambda: database.workflow_state.find_one({"kind": "schedule"}))
    schedule = await database.workflow_state.find_one({"kind": "schedule"})
    assert schedule is not None
    earlier = schedule["position"] - timedelta(hours=1)
    await database.workflow_state.update_one({"_id": schedule["_id"]}, {"$set": {"position": earlier}})
    replica = Replica(mongo_uri, database.name, tmp_path, "crashing", lease_s=LEASE_S, crash_at=CrashPoint.AFTER_PAGE)
    replica.spawn()
    await crashed(replica)
    assert await _count(database, workflow_id=SWEEPING) == AS_SHIPPED.sweep_page
    async with running_daemon(mongo_uri, database.name, lease_s=LEASE_S):
        await committed(database, lambda: _has(database, 1200, status="completed"))
    assert await violations(database, load.since) == []


async def test_a_crash_before_the_leases_are_handed_over_costs_only_time(
    mongo_uri: str, database: Database, tmp_path: Path, mails: MailServer
) -> None:
    load = await prepared_load(database)
    replica = Replica(
        mongo_uri, database.name, tmp_path, "crashing", lease_s=LEASE_S, crash_at=CrashPoint.BEFORE_HANDOVER
    )
    await replica.start()
    await replica.said("reader.started")
    await committed(database, lambda: database.workflow_state.find_one({"_id": "checkpoint"}))
    await load.write(LEADS)
    replica.signal(signal.SIGTERM)
    await crashed(replica)
    await recovered(load, mongo_uri, mails)


async def _count(database: Database, **wanted: Any) -> int:
    return await database.workflow_executions.count_documents(wanted)


async def _has(database: Database, count: int, **wanted: Any) -> bool:
    return await _count(database, **wanted) == count


async def _is_settled(database: Database) -> bool:
    return await database.workflow_versions.find_one({"transition": {"$exists": True}}) is None
