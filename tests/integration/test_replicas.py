"""Several replicas on one database: lanes shared, taken over and handed over; nothing twice, whoever is thawed late."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.commits import committed
from tests.support.invariants import Witness, violations
from tests.support.load import CREATED, Load, deliveries, mail_settings, prepared_load
from tests.support.poll import eventually
from tests.support.prober import probing
from tests.support.replica import Replica, replicas_ended
from tests.support.smtp import Behaviour, mail_server

Database = AsyncDatabase[dict[str, Any]]

LEASE_S: Final = 2.0
SWEEPING: Final = ObjectId("5f0000000000000000000021")


@asynccontextmanager
async def replicas(
    count: int, uri: str, database: Database, directory: Path, **settings: Any
) -> AsyncIterator[Sequence[Replica]]:
    """Yield replicas that take part, the first of them the reader; whatever still runs is killed."""
    names = [f"replica{number}" for number in range(count)]
    made = [Replica(uri, database.name, directory, name, **{"lease_s": LEASE_S, **settings}) for name in names]
    async with replicas_ended(*made), probing(*made) as prober:
        for replica in made:
            await replica.start()
            await committed(database, lambda: database.workflow_state.find_one({"_id": "checkpoint"}))
        yield made
        witnesses: list[Witness] = [prober, *made]
        assert [breach for witness in witnesses for breach in witness.breaches()] == []


async def lanes_by_holder(database: Database) -> Counter[str]:
    leases = database.workflow_state.find({"kind": "lease", "name": {"$ne": "reader"}})
    return Counter([lease["holder"] async for lease in leases])


async def shared_by(database: Database, count: int) -> None:
    """Return once the lanes are held by ``count`` replicas in about equal parts."""

    async def look() -> bool:
        lanes = await lanes_by_holder(database)
        assert len(lanes) == count, lanes
        assert max(lanes.values()) - min(lanes.values()) <= 1, lanes
        return True

    await eventually(look)


async def all_held_by(database: Database, replica: Replica) -> None:
    """Return once a replica holds every lane and the reader role."""

    async def look() -> bool:
        leases = await database.workflow_state.find({"kind": "lease"}).to_list()
        return {lease["holder"] for lease in leases} == {replica.name}

    await eventually(look)


async def epochs_of(database: Database, holder: str) -> dict[str, int]:
    leases = database.workflow_state.find({"kind": "lease", "holder": holder})
    return {lease["name"]: lease["epoch"] async for lease in leases}


async def settled(load: Load) -> None:
    await load.done()
    assert await violations(load.database, load.since, load.expected()) == []


async def test_lanes_are_shared_and_every_lead_runs_once(mongo_uri: str, database: Database, tmp_path: Path) -> None:
    load = await prepared_load(database)
    async with replicas(3, mongo_uri, database, tmp_path):
        await shared_by(database, 3)
        await load.write(100)
        await settled(load)


async def test_the_lanes_of_a_dead_replica_are_taken_over_when_the_lease_has_run_out(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    async with replicas(2, mongo_uri, database, tmp_path) as (first, second):
        await shared_by(database, 2)
        writing = asyncio.create_task(load.write(150))
        await load.written(50)
        first.kill()
        left = await epochs_of(database, first.name)
        await all_held_by(database, second)
        taken = await epochs_of(database, second.name)
        assert {name: taken[name] for name in left} == {name: epoch + 1 for name, epoch in left.items()}
        await writing
        await settled(load)


async def test_a_graceful_stop_hands_over_before_the_lease_runs_out(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    async with replicas(2, mongo_uri, database, tmp_path) as (first, second):
        await shared_by(database, 2)
        await load.write(20)
        first.signal(signal.SIGTERM)
        await first.said("lease.released")
        assert await database.workflow_state.count_documents({"kind": "lease", "holder": first.name}) == 0
        await all_held_by(database, second)
        assert await first.ended() == 0
        await load.write(20)
        await settled(load)


async def test_a_schedule_fires_once_however_many_replicas_run(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    await database.deals.insert_many([{"_id": n} for n in range(40)])
    await database.workflows.insert_one(
        {
            "_id": SWEEPING,
            "name": "Sweeps",
            "trigger": {"type": "scheduled", "schedule": "0 * * * *", "entity_type": "deal"},
            "actions": [{"type": "create_task"}],
        }
    )
    async with replicas(1, mongo_uri, database, tmp_path) as (first,):
        await committed(database, lambda: database.workflow_state.find_one({"kind": "schedule"}))
        assert await first.stop() == 0
    schedule = await database.workflow_state.find_one({"kind": "schedule"})
    assert schedule is not None
    earlier = schedule["position"] - timedelta(hours=1)
    await database.workflow_state.update_one({"_id": schedule["_id"]}, {"$set": {"position": earlier}})
    async with replicas(3, mongo_uri, database, tmp_path):
        await committed(database, lambda: database.workflow_decisions.find_one({"kind": "sweep"}))
        await load.write(10)
        await settled_with_sweep(load)
    assert await database.workflow_decisions.count_documents({"kind": "sweep"}) == 1


async def settled_with_sweep(load: Load) -> None:
    async def all_done() -> bool:
        return await load.database.workflow_executions.count_documents({"status": "completed"}) == 40 + 20

    await eventually(all_done)
    assert await violations(load.database, load.since) == []
    by_deal = await load.database.workflow_executions.distinct("triggered_by_entity_id", {"workflow_id": SWEEPING})
    assert len(by_deal) == 40


async def test_a_replica_frozen_in_mid_step_finds_its_late_result_dropped(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    mailing = {"type": "send_email", "template": "welcome_email"}
    workflow = {
        "_id": SWEEPING,
        "name": "Mails",
        "trigger": {**CREATED, "entity_type": "contact"},
        "actions": [mailing],
    }
    await database.workflows.insert_one(workflow)
    async with mail_server(Behaviour(data="hang")) as mails:
        settings = {**mail_settings(mails), "smtp_timeout_s": 4}
        async with replicas(1, mongo_uri, database, tmp_path, **settings) as (frozen,):
            await database.contacts.insert_one({"email": "lead@example.com", "name": "A"})
            await eventually(lambda: mails.messages)
            frozen.freeze()
            other = Replica(mongo_uri, database.name, tmp_path, "other", lease_s=LEASE_S, **mail_settings(mails))
            try:
                await other.start()
                await all_held_by(database, other)
                await committed(database, lambda: database.workflow_executions.find_one({"status": "failed"}))
                frozen.thaw()
                await frozen.said("executor.lease_lost")
                await load.write(10)
                await load.done()
                assert frozen.is_alive
                assert [line for line in frozen.lines() if line["log.level"] == "error"] == []
            finally:
                other.kill()
        run = await database.workflow_executions.find_one({"workflow_id": SWEEPING})
        assert run is not None
        assert [step["status"] for step in run["actions_executed"]] == ["uncertain"]
        assert deliveries(mails) == [f"{run['_id']}:0"]
    assert await violations(database, load.since) == []


@pytest.mark.tampers
async def test_a_state_that_is_dropped_beside_several_replicas_loses_nothing(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    async with replicas(3, mongo_uri, database, tmp_path) as running:
        writing = asyncio.create_task(load.write(200))
        await load.written(50)
        await database.workflow_state.drop()
        await writing
        await load.done()
        assert all(replica.is_alive for replica in running)
    found = await violations(database, load.since, load.expected())
    assert [breach for breach in found if "_count of workflow" not in breach] == []  # counters went with the state
    assert await database.workflow_state.find_one({"kind": "gap"}) is None


async def test_two_readers_by_force_make_one_execution_per_change(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    load = await prepared_load(database)
    async with replicas(1, mongo_uri, database, tmp_path) as (first,):
        writing = asyncio.create_task(load.write(100))
        for target in (20, 50, 80):
            await load.written(target)
            stolen = {"$set": {"holder": "nobody", "expires_at": None}, "$inc": {"epoch": 1}}
            await database.workflow_state.update_many({"kind": "lease"}, stolen)
        await writing
        await settled(load)
        assert first.is_alive
