"""The stream's position is gone from the oplog: the gap is recorded, and the reader does what the policy says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import HistoryLostPolicy
from daemon.app import Daemon
from daemon.event import Event
from daemon.mongo.codec import CODEC
from daemon.stream.reset import reset_checkpoint
from daemon.versions.parsing import parser_for
from tests.support.commits import committed
from tests.support.daemon import running_daemon
from tests.support.events import Events
from tests.support.invariants import violations
from tests.support.load import CHAINED, FOLLOW_UP, Load, prepared_load
from tests.support.mongod import Mongod
from tests.support.poll import eventually
from tests.support.prober import probing
from tests.support.replica import Replica, replicas_ended
from tests.support.settings import settings_for

Database = AsyncDatabase[dict[str, Any]]
CODES = {"aggregate": 286, "getMore": 136}


@asynccontextmanager
async def reader_fails(
    database: Database, command: str, *, times: int = 1, app_name: str = "reflexd-test-reader"
) -> AsyncIterator[None]:
    """Let the stream's next commands say that history is lost."""
    data = {"failCommands": [command], "errorCode": CODES[command], "appName": app_name}
    mode = {"times": times}
    await database.client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
    try:
        yield
    finally:
        await database.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@asynccontextmanager
async def reading_daemon(uri: str, database: Database, **settings: Any) -> AsyncIterator[Daemon]:
    async with running_daemon(uri, database.name, **settings) as daemon:
        await eventually(lambda: daemon.is_reading or daemon.halted)
        yield daemon


async def seen_before(load: Load, uri: str) -> None:
    """Let a daemon handle ten leads and go."""
    async with reading_daemon(uri, load.database):
        await load.write(10)
        await load.done()


async def gap_of(database: Database) -> dict[str, Any]:
    """Return the one gap there is."""
    (gap,) = await database.workflow_state.find({"kind": "gap"}).to_list()
    return gap


async def test_resuming_records_the_gap_and_reads_on_from_now(mongo_uri: str, database: Database) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    before = await _commit(database) + 1
    await database.leads.insert_many([{"n": n} for n in range(5)])
    policy = HistoryLostPolicy.RESUME_NOW
    async with reader_fails(database, "aggregate"), reading_daemon(mongo_uri, database, history_lost_policy=policy):
        await committed(database, lambda: database.workflow_state.find_one({"kind": "gap"}))
        await committed(database, lambda: _has_moved(database, since=before))
        await load.write(10)
        await load.done()
    gap = await gap_of(database)
    assert (gap["policy"], gap["acknowledged"], gap["from"] <= gap["to"]) == ("resume_now", False, True)
    assert await violations(database, load.since, load.expected()) == []


@pytest.mark.parametrize("command", CODES)
async def test_a_rescan_runs_what_was_created_in_the_gap_once(command: str, mongo_uri: str, database: Database) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    await load.write(10)
    await database.leads.insert_many([{"_id": f"text {n}"} for n in range(3)])
    policy = HistoryLostPolicy.RESCAN_INSERTS
    async with reader_fails(database, command), reading_daemon(mongo_uri, database, history_lost_policy=policy):
        await committed(database, lambda: database.workflow_state.find_one({"kind": "gap", "rescan.is_done": True}))
        await load.write(10)
        await committed(database, lambda: _ran(database, load.leads))
    rescan = (await gap_of(database))["rescan"]
    if command == "aggregate":  # an open stream had brought some of them already
        assert (rescan["found"] >= 10, rescan["enqueued"], rescan["not_recoverable"]) == (True, 10, 3)
    assert [breach for breach in await violations(database, load.since) if not breach.startswith("I1")] == []
    for workflow_id in (FOLLOW_UP, CHAINED):
        for lead in load.leads:
            runs = {"workflow_id": workflow_id, "triggered_by_entity_id": lead}
            assert await database.workflow_executions.count_documents(runs) == 1


@pytest.mark.parametrize("command", CODES)
async def test_a_gap_is_one_alarm_and_health_is_red_until_a_person_acknowledges_it(
    command: str, mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    replica = Replica(mongo_uri, database.name, tmp_path, "replica", history_lost_policy="resume_now")
    async with replicas_ended(replica), probing(replica) as prober:
        load.witnesses += [replica, prober]
        async with reader_fails(database, command, app_name="reflexd-reader"):
            await replica.start()
            await committed(database, lambda: database.workflow_state.find_one({"kind": "gap"}))
            await eventually(lambda: any(given.startswith("history was lost") for given in prober.reasons()))
        acknowledged = {"$set": {"acknowledged": True}}
        await database.workflow_state.update_one({"kind": "gap"}, acknowledged)
        await prober.all_ready()
        await load.write(10)
        await load.done()
        assert len(replica.lines("history.lost")) == 1
    assert await violations(database, load.since, load.expected()) == []


async def test_a_reader_that_has_halted_says_why_for_as_long_as_it_has(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    await database.workflow_state.update_one({"_id": "checkpoint"}, {"$set": {"token": {"_data": "zz"}}})
    replica = Replica(mongo_uri, database.name, tmp_path, "replica")
    async with replicas_ended(replica), probing(replica) as prober:
        await replica.start()
        await eventually(lambda: any(given.startswith("the reader has halted") for given in prober.reasons()))
        assert len(replica.lines("checkpoint.corrupt")) == 1
        assert prober.breaches() + replica.breaches() == []


async def test_a_workflow_edited_in_the_gap_is_in_force_behind_it_and_the_log_says_so(
    mongo_uri: str, database: Database, events: Events
) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    before = await _commit(database) + 1
    await database.workflows.update_one({"_id": FOLLOW_UP}, {"$set": {"status": "paused"}})
    await database.workflows.delete_one({"_id": CHAINED})
    policy = HistoryLostPolicy.RESUME_NOW
    async with reader_fails(database, "aggregate"), reading_daemon(mongo_uri, database, history_lost_policy=policy):
        await committed(database, lambda: _has_moved(database, since=before))
        (switched,) = events.of(Event.WORKFLOW_STATUS_CHANGED, workflow_id=FOLLOW_UP)
        assert (switched["previous"], switched["status"]) == ("active", "paused")
        assert len(events.of(Event.WORKFLOW_DELETED, workflow_id=CHAINED)) == 1
        await load.write(1)
        await committed(database, lambda: database.workflow_decisions.find_one({"entity_id": load.leads[-1]}))
    decision = await database.workflow_decisions.find_one({"entity_id": load.leads[-1]})
    assert decision is not None
    assert [entry["reason"] for entry in decision["entries"]] == ["paused"]
    assert await database.workflow_executions.count_documents({"triggered_by_entity_id": load.leads[-1]}) == 0


@pytest.mark.parametrize("policy", [HistoryLostPolicy.RESUME_NOW, HistoryLostPolicy.RESCAN_INSERTS])
async def test_requests_made_in_the_gap_are_answered_once(
    policy: HistoryLostPolicy, mongo_uri: str, database: Database
) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    lead = load.leads[0]
    asked: list[dict[str, Any]] = [
        {"_id": 1, "workflow_id": FOLLOW_UP, "entity_id": lead, "force": True},
        {"_id": "text", "workflow_id": ObjectId(), "entity_id": lead},
        {"_id": ObjectId(), "workflow_id": CHAINED, "entity_id": str(lead)},
    ]
    await database.workflow_requests.insert_many(asked)
    async with reader_fails(database, "aggregate"), reading_daemon(mongo_uri, database, history_lost_policy=policy):
        await committed(database, lambda: database.workflow_state.find_one({"kind": "gap", "requests.is_done": True}))
        last = await database.workflow_requests.insert_one(
            {"workflow_id": FOLLOW_UP, "entity_id": load.leads[1], "force": True}
        )
        await committed(
            database, lambda: database.workflow_requests.find_one({"_id": last.inserted_id, "status": "accepted"})
        )
    answers = [await database.workflow_requests.find_one({"_id": each["_id"]}) or {} for each in asked]
    assert [(each["status"], each.get("reason")) for each in answers] == [
        ("accepted", None),
        ("refused", "workflow_not_found"),
        ("accepted", None),
    ]
    by_hand = await database.workflow_executions.find({"trigger.type": "manual"}).to_list()
    assert {run["_id"] for run in by_hand} >= {answers[0]["execution_id"], answers[2]["execution_id"]}
    assert len(by_hand) == 3


async def test_a_request_in_a_gap_that_was_left_by_hand_is_answered(mongo_uri: str, database: Database) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    asked = {"workflow_id": FOLLOW_UP, "entity_id": load.leads[0], "force": True}
    request_id = (await database.workflow_requests.insert_one(asked)).inserted_id
    settings = settings_for(mongo_uri, database.name)
    await reset_checkpoint(database, settings.collections, parser_for(settings), None)
    async with reading_daemon(mongo_uri, database):
        await committed(
            database, lambda: database.workflow_requests.find_one({"_id": request_id, "status": "accepted"})
        )


async def test_a_rescan_that_was_cut_off_is_finished_by_the_next_reader(mongo_uri: str, database: Database) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    lost = [ObjectId() for _ in range(700)]
    async with reading_daemon(mongo_uri, database):
        await database.workflows.update_one({"_id": FOLLOW_UP}, {"$set": {"status": "stopped"}})
        await committed(database, lambda: database.workflow_versions.find_one({"latest": True, "status": "stopped"}))
        await database.leads.insert_many([{"_id": lead} for lead in lost])
        await database.workflows.update_one({"_id": FOLLOW_UP}, {"$set": {"status": "active"}})
        await committed(database, lambda: database.workflow_versions.find_one({"latest": True, "version": 3}))
    at = (await database.command("ping"))["operationTime"]
    halfway = sorted(lost)[349]
    rescan = {"at": at, "entity_type": "lead", "after": halfway, "found": 350, "enqueued": 0, "not_recoverable": 0}
    gap = {"_id": "gap/1-1", "kind": "gap", "from": min(lost).generation_time - timedelta(seconds=1)}
    await database.workflow_state.insert_one({**gap, "rescan": {**rescan, "is_done": False}})
    async with reading_daemon(mongo_uri, database):
        await committed(database, lambda: database.workflow_state.find_one({"kind": "gap", "rescan.is_done": True}))
        await committed(database, lambda: _ran(database, sorted(lost)[350:]))
    assert await database.workflow_executions.count_documents({"triggered_by_entity_id": halfway}) == 0


async def test_a_real_oplog_that_was_overrun_is_a_gap(tmp_path: Path) -> None:
    server = Mongod(tmp_path, "--syncdelay", "1", oplog_mb=16)
    try:
        server.start()
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(server.uri, w="majority", tz_aware=True)
        database = client.get_database("crm", codec_options=CODEC)
        load = await prepared_load(database)
        await seen_before(load, server.uri)
        await load.write(10)
        await overrun(database)
        policy = HistoryLostPolicy.RESCAN_INSERTS
        async with reading_daemon(server.uri, database, history_lost_policy=policy):
            await committed(database, lambda: database.workflow_state.find_one({"kind": "gap", "rescan.is_done": True}))
            await committed(database, lambda: _ran(database, load.leads))
        assert await violations(database, None, load.expected()) == []
        await client.close()
    finally:
        server.stop()


async def overrun(database: Database) -> None:
    """Write until the oplog no longer reaches back to its present beginning."""
    oplog = database.client.local["oplog.rs"]
    first = await oplog.find_one({}, sort=[("$natural", 1)])
    last = await oplog.find_one({}, sort=[("$natural", -1)])
    assert first is not None
    assert last is not None

    async def is_gone() -> bool:
        await database.filler.insert_many([{"text": "x" * 200_000} for _ in range(20)])
        oldest = await oplog.find_one({}, sort=[("$natural", 1)])
        return oldest is not None and oldest["ts"] > last["ts"]

    await eventually(is_gone, within_s=180)


async def _commit(database: Database) -> int:
    checkpoint = await database.workflow_state.find_one({"_id": "checkpoint"})
    assert checkpoint is not None
    commit: int = checkpoint["commit"]
    return commit


async def _has_moved(database: Database, since: int) -> bool:
    return await _commit(database) >= since


async def _ran(database: Database, leads: list[Any]) -> bool:
    ended = {"triggered_by_entity_id": {"$in": leads}, "status": "completed"}
    found = await database.workflow_executions.count_documents(ended)
    assert found == 2 * len(leads), found
    return True
