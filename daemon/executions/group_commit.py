"""Commit the ends of many steps in one transaction: while one commit is under way, the units for the next gather.

Where fewer executions match than were sent, two kinds of units are left out of the next try: those whose execution
somebody else has moved, and those that an earlier try committed although its answer was lost. A batch that fails is
split until the unit at fault stands alone. A unit that conflicts with another open transaction is tried again later,
by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import count
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from config.error import StoreUnavailable
from config.settings import Collections
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.batch_writer import BatchWriter, Clock, Lost, Vanished
from daemon.executions.unit import Unit, is_in_state
from daemon.mongo.failure import VAGUE_TRIES, is_forbidden, is_transient, is_vague
from daemon.mongo.refusal import refusal_text
from daemon.mongo.transaction import Transactions
from daemon.telemetry import emit

BATCH_UNITS: Final = 100
_TIMEOUT_S: Final = 30.0
_ATTEMPTS: Final = 3  # how often a batch is sent again without the units that were found to be lost
_BACK_OFF_S: Final = (0.1, 2.0)  # first and longest pause after a failure of the store
_RUNS: Final = 4  # how often a transaction is repeated before a batch is split
_FORBIDDEN_S: Final = 2.0  # until a unit is tried again that lacks a privilege, which may be granted again
_CONTENDED_S: Final = 0.25  # until a unit is tried again that conflicts with another transaction
_MAJORITY: Final = ReadConcern("majority")


class Fate(StrEnum):
    """The outcome of committing a unit."""

    COMMITTED = "committed"
    LOST = "lost"  # the execution is no longer in the expected state: somebody else moved it
    VANISHED = "vanished"  # the entity to be written no longer exists; nothing was committed
    REFUSED = "refused"  # the server refuses the unit for good; nothing was committed
    CONTENDED = "contended"  # it conflicts with another transaction: tried again later, no receipt is given


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of a unit, and the server's reason if it refused."""

    fate: Fate
    error: str = ""


_Entry = tuple[Unit, "asyncio.Future[Receipt]"]


class _Contended(Exception):
    """A transaction met the same conflict repeatedly."""


class GroupCommit:
    """Commits units in shared transactions. One flush is in flight at a time."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        collections: Collections,
        entities: Mapping[str, str],
        clock: Clock,
        *,
        may_start: Callable[[int], bool] = lambda lane: True,
    ) -> None:
        """``entities`` maps entity type to collection. ``may_start`` tells whether a lane's lease can be trusted."""
        self._database = database
        self._names = collections
        self._writer = BatchWriter(database, collections, entities, clock)
        self._may_start = may_start
        self.transactions = Transactions(database.client)
        self._queue: deque[_Entry] = deque()
        self._batch: list[_Entry] = []
        self._later: dict[asyncio.Future[Receipt], asyncio.TimerHandle] = {}
        self._flusher: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """How many units wait for a flush."""
        return len(self._queue)

    def submit(self, unit: Unit) -> asyncio.Future[Receipt]:
        """Queue a unit; the future returns its receipt."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._put((unit, future))
        return future

    async def drain(self) -> None:
        """Wait until every submitted unit has been committed or refused."""
        while self._later or (self._flusher is not None and not self._flusher.done()):
            awaited: list[asyncio.Future[Any]] = [*self._later]
            if self._flusher is not None and not self._flusher.done():
                awaited.append(self._flusher)
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Drop units that are not committed yet: their executions stay as they are in MongoDB."""
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            flusher.cancel()
            await asyncio.wait([flusher])
        for timer in self._later.values():
            timer.cancel()
        for future in [*self._later, *(future for _, future in (*self._batch, *self._queue))]:
            future.cancel()
        self._later.clear()
        self._batch.clear()
        self._queue.clear()

    def _put(self, entry: "_Entry") -> None:
        self._later.pop(entry[1], None)
        self._queue.append(entry)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_all(), name="group commit")

    async def _flush_all(self) -> None:
        while self._queue:
            self._fill_batch()
            receipts = await self._settle([unit for unit, _ in self._batch])
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_GROUP_COMMIT)
            settled, self._batch = self._batch, []
            for entry, receipt in zip(settled, receipts, strict=True):
                future = entry[1]
                if receipt.fate is Fate.CONTENDED:
                    later = asyncio.get_running_loop().call_later(
                        _FORBIDDEN_S if receipt.error else _CONTENDED_S, self._put, entry
                    )
                    self._later[future] = later
                elif not future.done():
                    future.set_result(receipt)

    def _fill_batch(self) -> None:
        """Take the units of the next transaction, in order: two units of one entity never share one."""
        entities: set[tuple[str, Any]] = set()
        while self._queue and len(self._batch) < BATCH_UNITS:
            entity = self._queue[0][0].job.entity_key
            if entity in entities:
                return
            entities.add(entity)
            self._batch.append(self._queue.popleft())

    async def _settle(self, units: Sequence[Unit]) -> list[Receipt]:
        """Commit units together, or in halves where that fails; return a receipt for each."""
        pause = _BACK_OFF_S[0]
        for tries in count(1):
            try:
                return await self._commit(units)
            except Exception as error:
                receipt = _receipt_of(error, tries)
                if receipt is not None and len(units) == 1:
                    return [receipt]
                if receipt is not None:
                    break
            await asyncio.sleep(pause)
            pause = min(pause * 2, _BACK_OFF_S[1])
        middle = len(units) // 2
        return [*await self._settle(units[:middle]), *await self._settle(units[middle:])]

    async def _commit(self, units: Sequence[Unit]) -> list[Receipt]:
        settled: dict[ObjectId, Fate] = {}
        for _ in range(_ATTEMPTS):
            wanted = [unit for unit in units if unit.job.execution_id not in settled]
            if not wanted:
                break
            try:
                await self.transactions.run(partial(self._try, wanted, count(1)), timeout_s=_TIMEOUT_S)
                break
            except Lost:
                settled |= await self._find_settled(wanted)
                settled = {**dict.fromkeys(self._late(wanted), Fate.LOST), **settled}
        else:
            raise StoreUnavailable(f"the state of {len(units) - len(settled)} executions kept changing")
        return [Receipt(settled.get(unit.job.execution_id, Fate.COMMITTED)) for unit in units]

    def _late(self, units: Sequence[Unit]) -> list[ObjectId]:
        """Return the executions that another replica may have begun by now, because their lease may have expired."""
        return [unit.job.execution_id for unit in units if unit.needs_lease and not self._may_start(unit.job.lane)]

    async def _find_settled(self, units: Sequence[Unit]) -> dict[ObjectId, Fate]:
        """Return the outcome of the units whose execution is not in the expected state.

        An execution that is already where the unit moves it was committed by an earlier try, whose acknowledgement was
        lost. A record that takes the place of an earlier one is not compared.
        """
        names = {name for unit in units for name in (*unit.filter, *unit.update["$set"])}
        executions = self._database.get_collection(self._names.executions, read_concern=_MAJORITY)
        cursor = executions.find({"_id": {"$in": [unit.job.execution_id for unit in units]}}, dict.fromkeys(names, 1))
        found = {document["_id"]: document async for document in cursor}
        settled: dict[ObjectId, Fate] = {}
        for unit in units:
            document = found.get(unit.job.execution_id, {})
            if not is_in_state(document, unit.filter):
                moved_to = {name: value for name, value in unit.update["$set"].items() if "." not in name}
                settled[unit.job.execution_id] = Fate.COMMITTED if is_in_state(document, moved_to) else Fate.LOST
        return settled

    async def _try(self, units: Sequence[Unit], runs: "count[int]", session: AsyncClientSession) -> None:
        if next(runs) > _RUNS:
            raise _Contended
        if self._late(units):
            raise Lost
        await self._writer.write(units, session)


def _receipt_of(error: Exception, tries: int) -> Receipt | None:
    """Return the receipt of a unit whose commit alone failed; None where the same commit may succeed in a moment."""
    if isinstance(error, Vanished):
        return Receipt(Fate.VANISHED)
    if isinstance(error, _Contended):
        return Receipt(Fate.CONTENDED)
    if is_transient(error) or (is_vague(error) and tries < VAGUE_TRIES):
        emit(Event.STORE_UNAVAILABLE, during="group commit", error=error)
        # A privilege is perhaps missing for one collection only, which must not hold up the others.
        return Receipt(Fate.CONTENDED, refusal_text(error)) if is_forbidden(error) else None
    if isinstance(error, PyMongoError):
        return Receipt(Fate.REFUSED, refusal_text(error))
    return Receipt(Fate.REFUSED, f"a value that cannot be stored: {type(error).__name__}")  # BSON has no such type
