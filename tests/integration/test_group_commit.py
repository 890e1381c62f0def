"""The group commit on a real MongoDB: what it writes, and what becomes of the unit that cannot be written."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from actions.outcome import Done, EntityUpdate, Fail, Insert, Outcome, Write
from config.collection_names import Collections
from daemon.executions.group_commit import Fate, GroupCommit
from daemon.executions.job import Job, job_from
from daemon.executions.machine import advance
from daemon.executions.occurrence import Began, Occurrence, Stopped
from daemon.executions.unit import Unit, unit_of
from daemon.mongo.codec import CODEC
from tests.support.jobs import NOW, execution_of, workflow_of
from tests.support.poll import eventually

pytestmark = pytest.mark.tampers  # the executions were never taken in

Database = AsyncDatabase[dict[str, Any]]
ANSWER_LOST: dict[str, Any] = {
    "failCommands": ["commitTransaction"],
    "writeConcernError": {"code": 251, "errmsg": "x", "errorLabels": ["TransientTransactionError"]},
    "errorLabels": ["TransientTransactionError"],
}


class Clock:
    def now(self) -> Any:
        return NOW


@pytest.fixture
async def commit(database: Database, mongo_uri: str) -> AsyncIterator[GroupCommit]:
    """A group commit with a client of its own, which failCommand can be aimed at."""
    await database.leads.insert_one({"_id": "ada"})
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_uri, w="majority", tz_aware=True, appname="group-commit") as client:
        group_commit = GroupCommit(client.get_database(database.name, CODEC), Collections(), {"lead": "leads"}, Clock())
        yield group_commit
        await group_commit.stop()


async def stored(database: Database, outcome: Outcome = Done({}), **changes: Any) -> Unit:  # noqa: B008
    """Return the unit that ends a stored execution with ``outcome``."""
    document = execution_of(**changes)
    await database.workflow_executions.insert_one(document)
    job = job_from(document, workflow_of())
    writes = outcome.writes if isinstance(outcome, Done) else ()
    return moved(job, outcome, writes)


def moved(job: Job, occurrence: Occurrence, writes: tuple[Write, ...] = ()) -> Unit:
    move = advance(workflow_of().program, job, occurrence, NOW)
    return unit_of(job, move, epoch=1, began_at=NOW, writes=writes)


async def units_of(database: Database, count: int, outcome: Outcome) -> list[Unit]:
    """Return units of as many leads, which exist."""
    await database.leads.insert_many([{"_id": f"lead-{number}", "plain": 1} for number in range(count)])
    return [
        await stored(database, outcome, triggered_by_entity_id=f"lead-{number}", seq=number) for number in range(count)
    ]


async def fates(commit: GroupCommit, units: list[Unit]) -> list[Fate]:
    return [receipt.fate for receipt in await asyncio.gather(*map(commit.submit, units))]


async def execution(database: Database, unit: Unit) -> dict[str, Any]:
    return await database.workflow_executions.find_one({"_id": unit.job.execution_id}) or {}


async def counts(database: Database) -> tuple[int, int, int]:
    """Return the sums of the counters: ended, completed, failed."""
    found = await database.workflow_state.find({"kind": "counter"}).to_list()
    ended, completed, failed = (
        sum(counter[name] for counter in found) for name in ("execution_count", "success_count", "failure_count")
    )
    return ended, completed, failed


async def fail_commands(database: Database, times: int, **data: Any) -> None:
    """Let commands of the group commit's client fail; ``data`` says which and how."""
    await database.client.admin.command(
        {
            "configureFailPoint": "failCommand",
            "mode": {"times": times} if times else "off",
            "data": {"appName": "group-commit", **data},
        }
    )


async def test_a_unit_that_is_committed_ends_its_execution(database: Database, commit: GroupCommit) -> None:
    unit = await stored(database)
    assert await fates(commit, [unit]) == [Fate.COMMITTED]
    assert (await execution(database, unit))["status"] == "completed"
    assert await counts(database) == (1, 1, 0)


@pytest.mark.parametrize("change", [{"status": "held"}, {"attempt": 1}, {"status": ["pending"]}], ids=str)
@pytest.mark.parametrize("count", [10, 30])
async def test_a_unit_whose_execution_has_moved_on_is_lost_and_its_neighbours_are_committed(
    database: Database, commit: GroupCommit, count: int, change: dict[str, Any]
) -> None:
    units = await units_of(database, count, Done({}, (Insert("tasks", {"title": "x"}),)))
    moved = {"_id": units[3].job.execution_id}
    await database.workflow_executions.update_one(moved, {"$set": change})
    assert await fates(commit, units) == [Fate.LOST if number == 3 else Fate.COMMITTED for number in range(count)]
    assert await counts(database) == (count - 1, count - 1, 0)
    assert await database.tasks.count_documents({}) == count - 1


async def test_the_unit_that_the_server_refuses_is_found_and_the_others_are_committed(
    database: Database, commit: GroupCommit
) -> None:
    units = await units_of(database, 100, Done({}, (EntityUpdate({"score": 1}),)))
    units[57] = await stored(database, Done({}, (EntityUpdate({"plain.score": 1}),)), triggered_by_entity_id="ada")
    await database.leads.update_one({"_id": "ada"}, {"$set": {"plain": 1}})
    receipts = await asyncio.gather(*map(commit.submit, units))
    refused = [(number, each.error) for number, each in enumerate(receipts) if each.fate is not Fate.COMMITTED]
    assert refused == [(57, "the database refused the write: a parent of the field is not a document (code 28)")]
    assert await database.leads.count_documents({"score": 1}) == 99


async def test_a_value_that_bson_cannot_hold_is_refused_alone(database: Database, commit: GroupCommit) -> None:
    units = await units_of(database, 5, Done({}))
    units[2] = await stored(database, Done({"value": object()}), triggered_by_entity_id="ada")
    assert [fate is Fate.REFUSED for fate in await fates(commit, units)] == [False, False, True, False, False]


async def test_a_unit_whose_entity_has_vanished_commits_nothing(database: Database, commit: GroupCommit) -> None:
    units = await units_of(database, 5, Done({}, (EntityUpdate({"score": 1}),)))
    await database.leads.delete_one({"_id": "lead-2"})
    assert [fate is Fate.VANISHED for fate in await fates(commit, units)] == [False, False, True, False, False]
    assert (await execution(database, units[2]))["status"] == "pending"
    assert await counts(database) == (4, 4, 0)


async def test_a_document_that_exists_already_is_not_doubled(database: Database, commit: GroupCommit) -> None:
    await database.tasks.insert_one({"_id": "task"})
    unit = await stored(database, Done({}, (Insert("tasks", {"_id": "task"}),)))
    assert await fates(commit, [unit]) == [Fate.REFUSED]


async def test_the_same_unit_is_not_committed_twice(database: Database, commit: GroupCommit) -> None:
    unit = await stored(database, Done({}, (Insert("tasks", {"title": "x"}),)))
    await fates(commit, [unit, unit])
    assert await database.tasks.count_documents({}) == 1
    assert await counts(database) == (1, 1, 0)


async def test_the_cause_comes_before_its_effect_in_one_transaction(database: Database, commit: GroupCommit) -> None:
    unit = await stored(database, Done({}, (EntityUpdate({"score": 1}),)))
    async with await database.watch([{"$match": {"ns.coll": {"$in": ["leads", "workflow_effects"]}}}]) as stream:
        await fates(commit, [unit])
        cause, effect = [await stream.next() for _ in range(2)]
    assert [cause["ns"]["coll"], effect["ns"]["coll"]] == ["workflow_effects", "leads"]
    assert (cause["lsid"], cause["txnNumber"]) == (effect["lsid"], effect["txnNumber"])
    assert cause["fullDocument"]["causes"] == [
        {"entity_type": "lead", "entity_id": "ada", "execution_id": unit.job.execution_id, "depth": 1, "chain": ["w"]}
    ]


async def test_units_without_entity_writes_leave_no_cause(database: Database, commit: GroupCommit) -> None:
    await fates(commit, [await stored(database, Done({}, (Insert("tasks", {"title": "x"}),)))])
    assert await database.workflow_effects.count_documents({}) == 0


async def test_counters_tell_completed_from_failed_and_cancelled(database: Database, commit: GroupCommit) -> None:
    done = await stored(database, triggered_by_entity_id="a")
    failed = await stored(database, Fail("no"), triggered_by_entity_id="b")
    stopped = moved((await stored(database, triggered_by_entity_id="c")).job, Stopped())
    await fates(commit, [done, failed, stopped])
    assert await counts(database) == (3, 1, 1)


async def test_two_units_of_one_entity_never_share_a_transaction(database: Database, commit: GroupCommit) -> None:
    write = Done({}, (EntityUpdate({"score": 1}),))
    units = [await stored(database, write) for _ in range(3)]
    await fates(commit, units)
    assert await database.workflow_effects.count_documents({}) == 3


async def test_a_commit_whose_answer_is_lost_is_told_as_committed(database: Database, commit: GroupCommit) -> None:
    """The server commits, the driver is told to begin anew: the executions have moved on, and it was us."""
    units = await units_of(database, 3, Done({}, (Insert("tasks", {"title": "x"}),)))
    await fail_commands(database, 1, **ANSWER_LOST)
    assert await fates(commit, units) == [Fate.COMMITTED] * 3
    assert await database.tasks.count_documents({}) == 3
    assert await counts(database) == (3, 3, 0)


async def test_a_lost_answer_is_told_as_committed_for_a_step_that_was_repeated(
    database: Database, commit: GroupCommit
) -> None:
    """Its record takes the place of an earlier one, in the middle of a list."""
    failed = [{"node": "0", "action_type": "create_task", "status": "failed", "error": "no", "attempts": 1}]
    unit = await stored(database, actions_executed=failed, ran=failed)
    await fail_commands(database, 1, **ANSWER_LOST)
    assert await fates(commit, [unit]) == [Fate.COMMITTED]
    assert await counts(database) == (1, 1, 0)


@pytest.mark.parametrize("command", ["update", "insert", "commitTransaction"])
async def test_a_connection_that_breaks_leaves_the_truth_in_mongodb(
    database: Database, commit: GroupCommit, command: str
) -> None:
    units = await units_of(database, 20, Done({}, (Insert("tasks", {"title": "x"}), EntityUpdate({"score": 1}))))
    await fail_commands(database, 2, failCommands=[command], closeConnection=True)
    assert await fates(commit, units) == [Fate.COMMITTED] * 20
    assert await database.tasks.count_documents({}) == 20
    assert await counts(database) == (20, 20, 0)


async def test_a_store_that_is_unavailable_for_a_while_is_waited_for(database: Database, commit: GroupCommit) -> None:
    units = await units_of(database, 3, Done({}))
    await fail_commands(database, 5, failCommands=["update"], closeConnection=True)
    assert await fates(commit, units) == [Fate.COMMITTED] * 3


async def test_a_privilege_that_is_missing_for_a_while_loses_nothing(database: Database, commit: GroupCommit) -> None:
    units = await units_of(database, 2, Done({}))
    await fail_commands(database, 3, failCommands=["update"], errorCode=13, appName="group-commit")
    assert await fates(commit, units) == [Fate.COMMITTED] * 2


async def test_an_open_transaction_of_the_crm_keeps_only_its_own_entity_waiting(
    database: Database, commit: GroupCommit
) -> None:
    units = await units_of(database, 30, Done({}, (EntityUpdate({"score": 1}),)))
    async with database.client.start_session() as session:
        await session.start_transaction()
        await database.leads.update_one({"_id": "lead-11"}, {"$set": {"owner": "x"}}, session=session)
        receipts = [commit.submit(unit) for unit in units]
        await eventually(lambda: sum(receipt.done() for receipt in receipts) == 29)
        assert not receipts[11].done()
        await session.commit_transaction()
    assert (await receipts[11]).fate is Fate.COMMITTED
    assert await database.leads.find_one({"_id": "lead-11"}) == {"_id": "lead-11", "plain": 1, "owner": "x", "score": 1}


async def test_writes_of_the_crm_at_the_same_time_lose_nothing(database: Database, commit: GroupCommit) -> None:
    units = await units_of(database, 100, Done({}, (EntityUpdate({"score": 1}),)))

    async def crm() -> None:
        for number in range(100):
            await database.leads.update_one({"_id": f"lead-{number}"}, {"$inc": {"visits": 1}})

    told, _, _ = await asyncio.gather(fates(commit, units), crm(), crm())
    assert told == [Fate.COMMITTED] * 100
    assert await database.leads.count_documents({"score": 1, "visits": 2}) == 100


async def test_a_stop_tells_nobody_that_something_was_committed(database: Database, commit: GroupCommit) -> None:
    units = await units_of(database, 3, Done({}))
    await fail_commands(database, 50, failCommands=["update"], closeConnection=True)
    receipts = [commit.submit(unit) for unit in units]
    await commit.stop()
    await fail_commands(database, 0, failCommands=["update"])
    assert all(receipt.cancelled() for receipt in receipts)
    assert await counts(database) == (0, 0, 0)


async def test_an_intent_is_not_committed_once_its_lease_is_in_doubt(database: Database) -> None:
    document = execution_of()
    await database.workflow_executions.insert_one(document)
    job = job_from(document, workflow_of())
    other = await stored(database, seq=2)
    late = GroupCommit(database, Collections(), {"lead": "leads"}, Clock(), may_start=lambda lane: False)
    intent, ended = late.submit(moved(job, Began())), late.submit(other)
    assert ((await intent).fate, (await ended).fate) == (Fate.LOST, Fate.COMMITTED)
    found = await database.workflow_executions.find_one({"_id": job.execution_id})
    assert found is not None
    assert found["status"] == document["status"]
