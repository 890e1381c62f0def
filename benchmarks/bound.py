"""The least that durable work costs: the same stream, the same documents, in bulk, and no product around it.

Orders: ``{uri, database, workload, phases}``. Two phases: executions and checkpoint in one transaction (up to 1,500
events), then finish, task and counters in another (up to 100). One phase: everything in the first. It has neither
conditions, versions, leases, lanes nor failure handling; its ids are drawn, not derived.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import uvloop
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from benchmarks import record
from benchmarks.child import client_of, orders, say
from benchmarks.record import LANES, Queued
from benchmarks.workload import MATCHING, Workload
from config.settings import Collections
from daemon.collector import calm_collector
from daemon.stream.cursor import ChangeCursor, Position, Reply, pipeline_for

INTAKE_EVENTS: Final = 1_000  # a round trip brings 500; with two of them it is faster than with one
FINISH_BATCH: Final = 100
_SNAPSHOT: Final = ReadConcern("snapshot")
_READ_AHEAD: Final = 4
Database = AsyncDatabase[dict[str, Any]]


async def main() -> None:
    """Work until the process is ended."""
    asked = orders()
    async with client_of(asked["uri"]) as client, client_of(asked["uri"]) as reader:
        database = client[asked["database"]]
        bound = Bound(database, Workload(**asked["workload"]), is_one_phase=asked["phases"] == 1)
        await bound.run(reader[asked["database"]])


async def open_stream(database: Database, session: AsyncClientSession, at: Timestamp) -> tuple[ChangeCursor, Reply]:
    """Return the daemon's stream, opened at an operation time, and its first batch."""
    names = Collections()
    pipeline = pipeline_for(["leads", "deals", "contacts"], names.workflows, (names.requests, names.effects))
    cursor = ChangeCursor(database, session, pipeline, await_ms=1_000)
    return cursor, await cursor.open(Position(None, at))


class Bound:
    """Reads, stores and finishes, with one transaction of each kind in flight."""

    def __init__(self, database: Database, workload: Workload, *, is_one_phase: bool) -> None:
        self._database = database
        self._delay = timedelta(seconds=workload.delay_s)
        self._is_one_phase = is_one_phase
        self._queue: list[tuple[datetime, int, Queued]] = []
        self._wake = asyncio.Event()
        self._commit = 0
        self._seq = 0

    async def run(self, reader: Database) -> None:
        """Work until cancelled."""
        state = self._database["workflow_state"]
        await state.insert_one({"_id": "checkpoint", "commit": 0})
        hello = await reader.command("hello")
        async with reader.client.start_session() as session:
            cursor, first = await open_stream(reader, session, hello["lastWrite"]["majorityOpTime"]["ts"])
            batches: asyncio.Queue[Reply] = asyncio.Queue(_READ_AHEAD)
            await batches.put(first)
            calm_collector()
            say(ready=True)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(cursor, batches))
                tasks.create_task(self._store_all(batches))
                tasks.create_task(self._finish_all())

    async def _read(self, cursor: ChangeCursor, batches: "asyncio.Queue[Reply]") -> None:
        while True:
            batch = await cursor.next_reply()
            if batch.events:
                await batches.put(batch)

    async def _store_all(self, batches: "asyncio.Queue[Reply]") -> None:
        async with self._database.client.start_session() as session:
            while True:
                batch = await batches.get()
                events = list(batch.events)
                while not batches.empty() and len(events) < INTAKE_EVENTS:
                    batch = batches.get_nowait()
                    events += batch.events
                await self._store(events, batch.token, session)

    def _records(
        self, events: Sequence[RawBSONDocument]
    ) -> tuple[list[Queued], list[dict[str, Any]], list[dict[str, Any]]]:
        executions: list[dict[str, Any]] = []
        decisions: list[dict[str, Any]] = []
        queued: list[Queued] = []
        for event in events:
            if event["ns"]["coll"] != "leads":
                continue  # the workflow, inserted a moment before
            lead = event["fullDocument"]
            lead_id, at = lead["_id"], event["wallTime"]
            if lead["source"] != MATCHING:
                decisions.append(record.decision(lead_id, lead["source"], at))
                continue
            self._seq += 1
            entry = Queued(ObjectId(), lead_id, self._seq % LANES, at + self._delay)
            queued.append(entry)
            executions.append(record.execution(entry, self._seq, at, self._delay))
        return queued, executions, decisions

    async def _store(self, events: Sequence[RawBSONDocument], token: Any, session: AsyncClientSession) -> None:
        queued, executions, decisions = self._records(events)
        tasks: list[dict[str, Any]] = []
        now = datetime.now(UTC)
        if self._is_one_phase:
            tasks = [record.task(entry, ObjectId(), now) for entry in queued]
            executions = [record.ended(each, task["_id"], now) for each, task in zip(executions, tasks, strict=True)]

        async def write(session: AsyncClientSession) -> None:
            database, commit = self._database, self._commit
            checkpoint = {"_id": "checkpoint", "commit": commit + 1, "token": token, "seq": self._seq, "saved_at": now}
            await database["workflow_state"].replace_one(
                {"_id": "checkpoint", "commit": commit}, checkpoint, session=session
            )
            for name, documents in (
                ("workflow_executions", executions),
                ("workflow_decisions", decisions),
                ("tasks", tasks),
            ):
                if documents:
                    await database[name].insert_many(documents, ordered=False, session=session)
            if tasks:
                await database["workflow_state"].bulk_write(
                    record.counters(queued, now), ordered=False, session=session
                )

        await _transaction(session, write)
        self._commit += 1
        if not self._is_one_phase:
            for number, entry in enumerate(queued, self._seq - len(queued)):
                heapq.heappush(self._queue, (entry.due_at, number, entry))
            self._wake.set()

    async def _finish_all(self) -> None:
        async with self._database.client.start_session() as session:
            while True:
                now = datetime.now(UTC)
                batch: list[Queued] = []
                while self._queue and self._queue[0][0] <= now and len(batch) < FINISH_BATCH:
                    batch.append(heapq.heappop(self._queue)[2])
                if batch:
                    await self._finish(batch, now, session)
                    continue
                self._wake.clear()
                pause = (self._queue[0][0] - now).total_seconds() if self._queue else None
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _finish(self, batch: Sequence[Queued], now: datetime, session: AsyncClientSession) -> None:
        status = "waiting" if self._delay else "pending"
        tasks = [record.task(entry, ObjectId(), now) for entry in batch]
        moves = [record.finish(entry, status, task["_id"], now) for entry, task in zip(batch, tasks, strict=True)]
        counts = record.counters(batch, now)

        async def write(session: AsyncClientSession) -> None:
            database = self._database
            result = await database["workflow_executions"].bulk_write(moves, ordered=False, session=session)
            if result.matched_count != len(moves):
                raise RuntimeError("an execution was not in the expected state")
            await database["tasks"].insert_many(tasks, ordered=False, session=session)
            await database["workflow_state"].bulk_write(counts, ordered=False, session=session)

        await _transaction(session, write)


async def _transaction(session: AsyncClientSession, write: Callable[[AsyncClientSession], Awaitable[None]]) -> None:
    await session.with_transaction(write, read_concern=_SNAPSHOT)


if __name__ == "__main__":
    uvloop.run(main())
