"""Group commit: what finished while the last flush was in flight is committed next, as one transaction.

Order within a transaction: the executions (a compare-and-set each), one cause record if entities are written, then
the effects and the counters; so the reader meets the causes before their effects. If fewer executions match than
were sent, the lost ones are found and left out. A failing batch is split until the bad unit stands alone.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

from bson import ObjectId
from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.error import StoreUnavailable
from config.settings import Collections
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.status import Status
from daemon.executions.unit import Unit
from daemon.mongo.failure import is_transient
from daemon.mongo.refusal import refusal_text
from daemon.mongo.transaction import Transactions
from daemon.telemetry import emit
from rules.identity import bson_bytes

BATCH_UNITS: Final = 100
_TIMEOUT_S: Final = 30.0
_ATTEMPTS: Final = 3  # how often a batch is sent again without the units that were found to be lost
_BACK_OFF_S: Final = (0.1, 30.0)  # first and longest pause after a failure of the store


class Fate(StrEnum):
    """What became of a unit."""

    COMMITTED = "committed"
    LOST = "lost"  # the execution was not in the expected state any more: somebody else moved it
    VANISHED = "vanished"  # the entity to be written does not exist any more; nothing was committed
    REFUSED = "refused"  # the server refuses the unit for good; nothing was committed


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a unit, and the server's words if it refused."""

    fate: Fate
    error: str = ""


class _Clock(Protocol):
    def now(self) -> datetime: ...


class _Lost(Exception):
    """Fewer executions matched than were sent."""


class _Vanished(Exception):
    """Fewer entities matched than were to be written."""


class GroupCommit:
    """Commits units in shared transactions. One flush is in flight at a time."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        collections: Collections,
        entities: Mapping[str, str],
        clock: _Clock,
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._names = collections
        self._entities = entities
        self._clock = clock
        self.transactions = Transactions(database.client)
        self._queue: deque[tuple[Unit, asyncio.Future[Receipt]]] = deque()
        self._flusher: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """How many units wait for a flush."""
        return len(self._queue)

    def submit(self, unit: Unit) -> asyncio.Future[Receipt]:
        """Queue a unit; the future tells what became of it. Two units of one entity must not be queued together."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._queue.append((unit, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_all(), name="group commit")
        return future

    async def drain(self) -> None:
        """Wait until everything that was submitted has been committed or refused."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait([self._flusher])

    async def stop(self) -> None:
        """Give up what is still queued: it stays in MongoDB as it is."""
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            flusher.cancel()
            await asyncio.wait([flusher])
        for _, future in self._queue:
            future.cancel()
        self._queue.clear()

    async def _flush_all(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH_UNITS, len(self._queue)))]
            receipts = await self._settle([unit for unit, _ in batch])
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_GROUP_COMMIT)
            for (_, future), receipt in zip(batch, receipts, strict=True):
                if not future.done():
                    future.set_result(receipt)

    async def _settle(self, units: Sequence[Unit]) -> list[Receipt]:
        """Commit units together, whatever it takes; return a receipt for each."""
        pause = _BACK_OFF_S[0]
        while True:
            try:
                return await self._commit(units)
            except _Vanished:
                if len(units) == 1:
                    return [Receipt(Fate.VANISHED)]
                break
            except (PyMongoError, StoreUnavailable) as error:
                if is_transient(error):
                    emit(Event.STORE_UNAVAILABLE, during="group commit", error=error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _BACK_OFF_S[1])
                elif len(units) == 1 and isinstance(error, PyMongoError):
                    return [Receipt(Fate.REFUSED, refusal_text(error))]
                else:
                    break
            except Exception as error:  # a value that BSON cannot hold: the unit at fault is found by splitting
                if len(units) == 1:
                    return [Receipt(Fate.REFUSED, f"a value that cannot be stored: {type(error).__name__}")]
                break
        middle = len(units) // 2
        return [*await self._settle(units[:middle]), *await self._settle(units[middle:])]

    async def _commit(self, units: Sequence[Unit]) -> list[Receipt]:
        lost: set[ObjectId] = set()
        for _ in range(_ATTEMPTS):
            wanted = [unit for unit in units if unit.job.execution_id not in lost]
            if not wanted:
                break
            try:
                await self.transactions.run(partial(self._write, wanted), timeout_s=_TIMEOUT_S)
                break
            except _Lost:
                lost |= await self._find_lost(wanted)
        else:
            raise StoreUnavailable(f"the state of {len(units) - len(lost)} executions kept changing")
        return [Receipt(Fate.LOST if unit.job.execution_id in lost else Fate.COMMITTED) for unit in units]

    async def _find_lost(self, units: Sequence[Unit]) -> set[ObjectId]:
        """Return which of the units do not meet their execution in the expected state."""
        found = {
            document["_id"]: document
            async for document in self._database[self._names.executions].find(
                {"_id": {"$in": [unit.job.execution_id for unit in units]}},
                {"step": 1, "attempt": 1, "status": 1, "epoch": 1},
            )
        }
        return {
            unit.job.execution_id
            for unit in units
            if any(found.get(unit.job.execution_id, {}).get(name) != value for name, value in unit.filter.items())
        }

    async def _write(self, units: Sequence[Unit], session: AsyncClientSession) -> None:
        moves = [UpdateOne(unit.filter, unit.update) for unit in units]
        result = await self._database[self._names.executions].bulk_write(moves, ordered=False, session=session)
        if result.matched_count != len(units):
            raise _Lost
        await self._write_entities(units, session)
        inserts: defaultdict[str, list[InsertOne[dict[str, Any]]]] = defaultdict(list)
        for unit in units:
            for insert in unit.inserts:
                inserts[insert.collection].append(InsertOne(dict(insert.document)))
        for collection, documents in inserts.items():
            await self._database[collection].bulk_write(documents, ordered=False, session=session)
        await self._count(units, session)
        if CRASH_AT is not None:
            reach(CrashPoint.IN_GROUP_COMMIT)

    async def _write_entities(self, units: Sequence[Unit], session: AsyncClientSession) -> None:
        writers = [unit for unit in units if unit.entity_updates]
        if not writers:
            return
        await self._database[self._names.effects].insert_one(
            {"causes": [_cause_of(unit) for unit in writers], "at": self._clock.now()}, session=session
        )
        updates: defaultdict[str, list[UpdateOne]] = defaultdict(list)
        for unit in writers:
            collection = self._entities[unit.job.entity_type]
            for update in unit.entity_updates:
                change: dict[str, Any] = {}
                if update.set:
                    change["$set"] = dict(update.set)
                if update.unset:
                    change["$unset"] = dict.fromkeys(update.unset, "")
                updates[collection].append(UpdateOne({"_id": unit.job.entity_id}, change))
        for collection, operations in updates.items():
            result = await self._database[collection].bulk_write(operations, ordered=False, session=session)
            if result.matched_count != len(operations):
                raise _Vanished

    async def _count(self, units: Sequence[Unit], session: AsyncClientSession) -> None:
        """Add the executions that end to the counters, one document per workflow and lane."""
        totals: dict[str, dict[str, Any]] = {}
        for unit in units:
            if unit.ended is None:
                continue
            key = counter_id(unit.job.workflow_id, unit.job.lane)
            total = totals.setdefault(key, {"workflow_id": unit.job.workflow_id, "counts": [0, 0, 0]})
            total["counts"][0] += 1
            total["counts"][1] += unit.ended is Status.COMPLETED
            total["counts"][2] += unit.ended is Status.FAILED
        if not totals:
            return
        now = self._clock.now()
        await self._database[self._names.state].bulk_write(
            [counter_update(key, total["workflow_id"], total["counts"], now) for key, total in totals.items()],
            ordered=False,
            session=session,
        )


def counter_id(workflow_id: Any, lane: int | str) -> str:
    """Return the id of a counter document: one per workflow and lane, so that replicas do not conflict on it."""
    return f"counter/{bson_bytes(workflow_id).hex()}/{lane}"


def counter_update(key: str, workflow_id: Any, counts: Sequence[int], now: datetime) -> UpdateOne:
    """Return the update that adds ``counts`` (ended, completed, failed) to a counter document."""
    return UpdateOne(
        {"_id": key},
        {
            "$inc": {"execution_count": counts[0], "success_count": counts[1], "failure_count": counts[2]},
            "$max": {"last_executed_at": now},
            "$set": {"kind": "counter", "workflow_id": workflow_id},
            "$currentDate": {"changed_at": True},
        },
        upsert=True,
    )


def _cause_of(unit: Unit) -> dict[str, Any]:
    """Return what the reader needs to know of the changes that this unit makes."""
    job = unit.job
    cause = job.cause.then(job.workflow_id, job.execution_id)
    return {
        "entity_type": job.entity_type,
        "entity_id": job.entity_id,
        "execution_id": job.execution_id,
        "depth": cause.depth,
        "chain": list(cause.chain),
    }
