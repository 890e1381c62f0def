"""What one replica announces reaches the others at once, and nothing depends on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from daemon import poll
from daemon.announcement import Announcements
from daemon.app import Daemon
from daemon.pace import AS_SHIPPED
from tests.support.bench import TASK, created, running_bench
from tests.support.daemon import running_daemon
from tests.support.poll import eventually
from tests.support.signal import Signal

Database = AsyncDatabase[dict[str, Any]]
NAME = "workflow_announcements"
# A condition keeps a step out of intake's short way: the owner of its lane runs it.
ON_ITS_OWN = {**TASK, "conditions": [{"field": "name", "operator": "not_exists"}]}


class Heard(poll.Signal):
    """Tells at once that it was sent."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.send = then  # type: ignore[method-assign]


class Side:
    """One replica's announcements, and how often it was told to look."""

    def __init__(self, database: Database, name: str) -> None:
        self.heard = 0
        self.signal = Signal()
        self.deaths: list[str] = []
        self.told = poll.Signal()
        self.announcements = Announcements(database, NAME, name, told=self.told, heard=[Heard(self._hear)])
        for task in self.announcements.tasks:
            task.watch(self.deaths.append)

    def _hear(self) -> None:
        self.heard += 1
        self.signal.changed()

    def is_heard(self) -> bool:
        return self.announcements.is_heard


@asynccontextmanager
async def listening(database: Database, name: str) -> AsyncIterator[Side]:
    side = Side(database, name)
    await side.announcements.start()
    try:
        await eventually(side.is_heard)
        yield side
    finally:
        await side.announcements.stop()
    assert not side.deaths


async def is_capped(database: Database) -> bool:
    return bool((await database[NAME].options()).get("capped"))


async def test_what_one_tells_the_other_hears_and_not_itself(database: Database) -> None:
    async with listening(database, "a") as a, listening(database, "b") as b:
        await a.signal.until(lambda: a.heard > 0)  # that b listens
        before, own = a.heard, b.heard
        b.told.send()
        await a.signal.until(lambda: a.heard > before)
        a.told.send()
        await b.signal.until(lambda: b.heard > own)
        assert b.heard == own + 1


async def test_who_listens_leaves_no_other_cursor_open(database: Database) -> None:
    idle: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True}},
        {"$match": {"type": "idleCursor", "ns": f"{database.name}.{NAME}"}},
    ]
    async with listening(database, "a"):
        assert await (await database.client.admin.aggregate(idle)).to_list() == []


async def test_what_is_told_right_before_the_end_is_heard(database: Database) -> None:
    async with listening(database, "a") as a:
        async with listening(database, "b") as b:
            await a.signal.until(lambda: a.heard > 0)
            before = a.heard
            b.told.send()
        await a.signal.until(lambda: a.heard > before)


async def test_a_collection_that_is_not_capped_becomes_so(database: Database) -> None:
    await database[NAME].insert_one({"replica": "an older life"})
    async with listening(database, "a"):
        assert await is_capped(database)


async def test_a_collection_that_is_dropped_is_made_again(database: Database) -> None:
    async with listening(database, "a") as a, listening(database, "b") as b:
        await database[NAME].drop()
        before = a.heard

        async def reaches() -> bool:
            b.told.send()
            await a.signal.until(lambda: a.heard > before, within_s=0.5)
            return True

        await eventually(reaches)
        assert await is_capped(database)


async def test_a_crowd_of_announcements_does_not_outgrow_the_collection(database: Database) -> None:
    async with listening(database, "a") as a:
        await database[NAME].insert_many([{"replica": "b", "padding": "x" * 1_000} for _ in range(200)])
        before = a.heard
        await database[NAME].insert_one({"replica": "b"})
        await a.signal.until(lambda: a.heard > before)
        assert await database[NAME].count_documents({}) < 100


# Nothing is found by looking: what is done meanwhile was announced.
UNHURRIED = replace(AS_SHIPPED, queue_s=3_600, poll_s=3_600)


async def listens(other: Daemon, database: Database) -> bool:
    """Return whether another replica has lanes, and a cursor that waits for announcements."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleCursors": True}},
        {"$match": {"ns": f"{database.name}.{NAME}", "cursor.tailable": True}},
    ]
    cursors = await (await database.client.admin.aggregate(stages)).to_list()
    return bool(other.lanes.owned) and len(cursors) >= 2


async def test_work_for_another_replica_starts_when_it_is_announced(mongo_uri: str, database: Database) -> None:
    async with (
        running_bench(mongo_uri, database, pace=UNHURRIED) as bench,
        running_daemon(mongo_uri, database.name, pace=UNHURRIED) as other,
    ):
        workflow = await bench.add(created(), actions=[ON_ITS_OWN])
        await eventually(lambda: listens(other, database))
        await bench.leads.insert_many([{"_id": number} for number in range(40)])
        await bench.ended(workflow, 40)
        assert other.lanes.owned.intersection(await bench.executions.distinct("lane", {"workflow_id": workflow}))


async def test_a_replica_that_hears_asks_for_the_checkpoint_no_more(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database) as bench, running_daemon(mongo_uri, database.name) as other:
        workflow = await bench.add(created())
        await eventually(lambda: listens(other, database))
        await database.command("profile", 2)
        await bench.leads.insert_many([{"_id": number} for number in range(40)])
        await bench.ended(workflow, 40)
        await database.command("profile", 0)
        lanes = await bench.executions.distinct("lane", {"workflow_id": workflow})
        assert other.lanes.owned.intersection(lanes)
        asked = await database["system.profile"].count_documents({"command.filter": {"_id": "checkpoint"}})
        assert asked == 0


async def test_work_reaches_another_replica_without_any_announcement(mongo_uri: str, database: Database) -> None:
    nobody_tells = {"failCommands": ["insert"], "namespace": f"{database.name}.{NAME}", "errorCode": 11600}
    admin = database.client.admin
    async with running_bench(mongo_uri, database) as bench, running_daemon(mongo_uri, database.name) as other:
        workflow = await bench.add(created(), actions=[ON_ITS_OWN])
        await eventually(lambda: bool(other.lanes.owned))
        await admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=nobody_tells)
        try:
            await bench.leads.insert_many([{"_id": number} for number in range(40)])
            await bench.ended(workflow, 40)
        finally:
            await admin.command("configureFailPoint", "failCommand", mode="off")
