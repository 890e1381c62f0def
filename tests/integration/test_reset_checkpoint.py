"""``reflexd run --reset-checkpoint``: the way out of a checkpoint that cannot be used."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from config.error import ConfigError
from daemon.api.health import Readiness
from daemon.mongo.codec import CODEC
from daemon.stream.reset import parse_position, reset_checkpoint
from daemon.versions.parsing import parser_for
from tests.support.bench import TASK, Bench, created, running_bench, workflow_document
from tests.support.commits import committed
from tests.support.daemon import QUICK, halted, reading, running_daemon
from tests.support.invariants import violations
from tests.support.load import Load, prepared_load
from tests.support.poll import eventually
from tests.support.replica import Replica
from tests.support.settings import settings_for

Database = AsyncDatabase[dict[str, Any]]


async def seen_before(load: Load, uri: str) -> None:
    """Let a daemon handle ten leads and go."""
    async with running_daemon(uri, load.database.name) as daemon:
        await reading(daemon)
        await load.write(10)
        await load.done()


@pytest.fixture(scope="module")
async def shared_load(mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[Load]:
    """A load that a daemon has handled, for all tests that leave its database with a position that can be used."""
    database = mongo_client.get_database(f"test_{uuid.uuid4().hex[:12]}", codec_options=CODEC)
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    yield load
    await mongo_client.drop_database(database.name)


@pytest.fixture
async def seen(shared_load: Load) -> AsyncIterator[Load]:
    """Without gaps; whatever happens, everything written by way of the load has run once at the end."""
    await shared_load.database.workflow_state.delete_many({"kind": "gap"})
    yield shared_load
    assert await violations(shared_load.database, None, shared_load.expected()) == []


async def reset(uri: str, database: Database, to: datetime | None) -> None:
    settings = settings_for(uri, database.name)
    await reset_checkpoint(database, settings.collections, parser_for(settings), to)


@pytest.mark.parametrize(
    "broken",
    [
        # What else is no checkpoint of ours: tests/unit/daemon/test_stream_checkpoint.py.
        {"done": 1_000},
        {"commit": 2**63 - 1},
        {"replica_set": "another"},
        {"cluster_time": Timestamp(2**32 - 1, 1), "token": None},
        {"token": {"_data": "82FFFFFFFF000000012B0429296E1404"}},
    ],
    ids=repr,
)
async def test_now_records_the_gap_and_reads_on(broken: dict[str, Any], mongo_uri: str, seen: Load) -> None:
    database = seen.database
    await database.workflow_state.update_one({"_id": "checkpoint"}, {"$set": broken})
    await database.leads.insert_one({"is": "lost"})
    async with running_daemon(mongo_uri, database.name) as daemon:
        await halted(daemon)
    assert str(daemon.halted).startswith("checkpoint")
    assert await database.workflow_state.count_documents({"_id": "checkpoint", **broken}) == 1
    await reset(mongo_uri, database, None)
    async with running_daemon(mongo_uri, database.name) as daemon:
        await reading(daemon)
        await seen.write(3)
        await seen.done()
    (gap,) = await database.workflow_state.find({"kind": "gap"}).to_list()
    assert gap["policy"] in ("reset", "began anew")
    assert not gap["acknowledged"]


async def test_a_halted_reader_gives_the_role_back_and_every_replica_says_so_until_one_reads(
    mongo_uri: str, seen: Load
) -> None:
    database = seen.database
    await database.workflow_state.update_one({"_id": "checkpoint"}, {"$set": {"token": {"_data": "zz"}}})
    said = Readiness(database, settings_for(mongo_uri, database.name).collections, lag_s=lambda: None)
    pace = replace(QUICK, halt_s=(0.2, 0.5))
    async with running_daemon(mongo_uri, database.name, pace=pace) as daemon:
        await committed(database, lambda: database.workflow_state.find_one({"_id": "lease/reader", "holder": None}))
        assert any(reason.startswith("the reader has halted: checkpoint") for reason in await said.reasons())
        await reset(mongo_uri, database, None)
        await reading(daemon)
        await seen.write(3)
        await seen.done()
        gap = (await said.reasons())[0]
        assert gap.startswith("history was lost")
        await database.workflow_state.update_many({"kind": "gap"}, {"$set": {"acknowledged": True}})
        assert await said.reasons() == []


async def test_another_replica_reads_on_while_the_one_that_halted_leaves_it_the_role(
    mongo_uri: str, seen: Load
) -> None:
    database = seen.database
    await database.workflow_state.update_one({"_id": "checkpoint"}, {"$set": {"token": {"_data": "zz"}}})
    said = Readiness(database, settings_for(mongo_uri, database.name).collections, lag_s=lambda: None)
    is_free = {"_id": "lease/reader", "holder": None}
    patient = replace(QUICK, halt_s=(3600.0, 3600.0))
    async with running_daemon(mongo_uri, database.name, pace=patient, replica_name="halted") as first:
        assert (await halted(first)).startswith("checkpoint")
        await committed(database, lambda: database.workflow_state.find_one(is_free))
        assert sum(reason.startswith("the reader has halted: checkpoint") for reason in await said.reasons()) == 1
        await reset(mongo_uri, database, None)
        async with running_daemon(mongo_uri, database.name, replica_name="other") as other:
            await reading(other)
            await seen.write(3)
            await seen.done()
            await database.workflow_state.update_many({"kind": "gap"}, {"$set": {"acknowledged": True}})
            assert await said.reasons() == []
        assert not first.is_reading
        assert await database.workflow_state.find_one(is_free)


async def test_a_stream_that_nobody_reads_is_not_ready_whoever_holds_the_role(mongo_uri: str, seen: Load) -> None:
    database = seen.database
    said = Readiness(database, settings_for(mongo_uri, database.name).collections, lag_s=lambda: None)
    async with running_daemon(mongo_uri, database.name) as daemon:
        await reading(daemon)
        await seen.write(1)
        await seen.done()
        assert await said.reasons() == []
        long_ago = datetime.now(UTC) - timedelta(minutes=2)
        await database.workflow_state.update_one({"_id": "checkpoint"}, {"$set": {"saved_at": long_ago}})
        (reason,) = await said.reasons()
        assert reason.startswith("the change stream was not read for 1")
        await seen.write(1)
        await seen.done()
        assert await said.reasons() == []


async def test_a_token_cut_off_anywhere_is_corrupt_or_replaced_by_its_time(mongo_uri: str, seen: Load) -> None:
    state = seen.database.workflow_state
    for kept in (20, 48, 76, 97):
        token = (await state.find_one({"_id": "checkpoint"}) or {})["token"]
        await state.update_one({"_id": "checkpoint"}, {"$set": {"token": {"_data": token["_data"][:kept]}}})
        async with running_daemon(mongo_uri, seen.database.name) as daemon:
            await eventually(lambda daemon=daemon: daemon.halted or daemon.is_reading)  # type: ignore[misc]
            if daemon.is_reading:
                await seen.write(1)
                await seen.done()
        if daemon.halted:
            await state.update_one({"_id": "checkpoint"}, {"$set": {"token": token}})
    async with running_daemon(mongo_uri, seen.database.name):
        await seen.write(1)
        await seen.done()


async def test_data_restored_beside_its_checkpoint_is_not_read_on_in_silence(
    mongo_uri: str, database: Database
) -> None:
    load = await prepared_load(database)
    await seen_before(load, mongo_uri)
    for name in ("workflow_state", "leads"):
        documents = await database[name].find().to_list()
        await database[name].drop()
        await database[name].insert_many(documents)
    async with running_daemon(mongo_uri, database.name) as daemon:
        await halted(daemon)
    assert "restored" in str(daemon.halted)


async def test_a_time_in_the_past_reads_again_and_makes_nothing_twice(mongo_uri: str, database: Database) -> None:
    load = await prepared_load(database)
    began = datetime.now(UTC)
    await seen_before(load, mongo_uri)
    await load.write(10)
    await database.workflow_state.update_one({"_id": "checkpoint"}, {"$set": {"token": {"_data": "zz"}}})
    await reset(mongo_uri, database, began - timedelta(seconds=1))
    async with running_daemon(mongo_uri, database.name):
        await load.done()
    assert await violations(database, None, load.expected()) == []
    assert await database.workflow_state.find_one({"kind": "gap"}) is None


async def test_the_command_moves_the_position_before_it_runs(mongo_uri: str, seen: Load, tmp_path: Path) -> None:
    database = seen.database
    await database.workflow_state.update_one({"_id": "checkpoint"}, {"$set": {"token": "garbage"}})
    replica = Replica(mongo_uri, database.name, tmp_path, "replica")
    try:
        await replica.start()
        await replica.said("checkpoint.corrupt")
        await replica.stop()
        await replica.start("--reset-checkpoint", "now")
        assert len(replica.lines("checkpoint.reset")) == 1
        await seen.write(3)
        await seen.done()
        await replica.stop()
    finally:
        replica.kill()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", None),
        ("2026-11-23T09:00:00Z", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23T09:00:00", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
    ],
)
def test_a_position_is_now_or_a_time_in_utc(text: str, expected: datetime | None) -> None:
    assert parse_position(text) == expected


@pytest.mark.parametrize("text", ["", "NOW", "-1", "1700000000", "0001-01-01", "1969-12-31T23:00:00Z", "9999-12-31"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_position(text)


async def test_a_time_that_has_not_come_is_refused_and_the_position_kept(mongo_uri: str, seen: Load) -> None:
    database = seen.database
    before = await database.workflow_state.find_one({"_id": "checkpoint"})
    with pytest.raises(ConfigError, match="expected now or a time that has come"):
        await reset(mongo_uri, database, datetime.now(UTC) + timedelta(hours=2))
    assert await database.workflow_state.find_one({"_id": "checkpoint"}) == before
    assert await database.workflow_state.find_one({"kind": "gap"}) is None


async def _pause_stop_and_remake(bench: Bench) -> dict[str, dict[str, Any]]:
    """Let leads wait for two days under workflows that are paused, stopped or deleted meanwhile, and active again."""
    waiting = [{**TASK, "delay": "2d"}]
    workflows = {name: workflow_document(created(), actions=waiting, name=name) for name in ("pause", "stop", "remake")}
    await bench.workflows.insert_many(list(workflows.values()))
    await bench.leads.insert_one({"_id": 1})
    await bench.workflows.update_one({"_id": workflows["pause"]["_id"]}, {"$set": {"status": "paused"}})
    await bench.workflows.update_one({"_id": workflows["stop"]["_id"]}, {"$set": {"status": "stopped"}})
    await bench.workflows.delete_one({"_id": workflows["remake"]["_id"]})
    await bench.leads.insert_one({"_id": 2})
    for name in ("pause", "stop"):
        await bench.workflows.update_one({"_id": workflows[name]["_id"]}, {"$set": {"status": "active"}})
    await bench.workflows.insert_one(workflows["remake"])
    await bench.leads.insert_one({"_id": 3})
    return workflows


async def _kept(bench: Bench, *waiting: int) -> dict[str, Any]:
    """Return everything that a switch would change, once the switches made so far have been applied."""
    await bench.taken_in()

    async def is_applied() -> bool:
        queued = {"status": "waiting", "due_at": {"$type": "date"}, "triggered_by_entity_id": {"$in": [1, 2, 3]}}
        switching = await bench.database.workflow_versions.count_documents({"transition": {"$exists": True}})
        return not switching and await bench.executions.count_documents(queued) == waiting[0]

    await eventually(is_applied)
    leads = {"triggered_by_entity_id": {"$in": [1, 2, 3]}}
    runs = await bench.executions.find(leads, {"held_due_at": 0, "held_status": 0}).sort("_id", 1).to_list()
    versions = bench.database.workflow_versions.find({}, {"_id": 1, "status": 1, "stopped_seq": 1, "is_deleted": 1})
    requests = await bench.database.workflow_requests.find().to_list()
    return {"runs": runs, "versions": await versions.sort("_id", 1).to_list(), "requests": requests}


async def test_old_edits_and_requests_of_a_span_that_is_read_again_switch_nothing(
    mongo_uri: str, database: Database
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    async with running_bench(mongo_uri, database) as bench:
        workflows = await _pause_stop_and_remake(bench)
        (run, *_) = await bench.runs(workflows["pause"]["_id"])
        await database.workflow_requests.insert_one({"execution_id": run["_id"], "do": "cancel"})
        before = await _kept(bench, 3)
        assert [each["status"] for each in before["runs"]].count("cancelled") == 3
    lost: Any = await bench.executions.find_one_and_delete({"triggered_by_entity_id": 3})
    await reset(mongo_uri, database, began)
    async with running_bench(mongo_uri, database) as bench:
        after = await _kept(bench, 3)
        made_again = next(each for each in after["runs"] if each["_id"] == lost["_id"])
        assert made_again["workflow_version"] == lost["workflow_version"]
        known = [each for each in before["runs"] if each["_id"] != lost["_id"]]
        assert [each for each in after["runs"] if each is not made_again] == known
        assert (after["versions"], after["requests"]) == (before["versions"], before["requests"])
        await bench.leads.insert_one({"_id": 4})
        for document in workflows.values():
            assert (await bench.ran_for(document["_id"]))[-1] == 4
        await bench.workflows.update_one({"_id": workflows["stop"]["_id"]}, {"$set": {"status": "stopped"}})
        await bench.observed(workflows["stop"]["_id"], state="stopped")
        stored = await database.workflow_state.find_one({"_id": "checkpoint"}) or {}
        assert stored["replayed_until"] == ""
