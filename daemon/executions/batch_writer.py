"""Write the units of one transaction: executions first, then one cause record, the effects and the counters.

In this order the reader reads the causes before their effects.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Collections
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.executions.counter import counter_updates
from daemon.executions.unit import Unit, is_in_state, state_query

_FEW: Final = 10  # updates that the server plans in the time of one round trip


class Clock(Protocol):
    """Tells the server's time."""

    def now(self) -> datetime:
        """Return the server's time, UTC-aware."""


class Lost(Exception):
    """An execution is not in the expected state."""


class Vanished(Exception):
    """An entity to be written no longer exists."""


class BatchWriter:
    """Writes batches within a transaction of the caller's."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        collections: Collections,
        entities: Mapping[str, str],
        clock: Clock,
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._names = collections
        self._entities = entities
        self._clock = clock

    async def write(self, units: Sequence[Unit], session: AsyncClientSession) -> None:
        """Write ``units``; raise Lost or Vanished, or the driver's error: then the caller aborts the transaction."""
        await self._move(units, session)
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

    async def _move(self, units: Sequence[Unit], session: AsyncClientSession) -> None:
        """Compare and set; raise Lost unless every execution is in the state it is expected in.

        Few executions are updated by a filter with that state. Many are read in the transaction's snapshot and then
        updated by id alone, which is as exact: a move after the snapshot causes a write conflict. The server plans
        every update with a longer filter anew, and for many that takes longer than another round trip.
        """
        executions = self._database[self._names.executions]
        if len(units) <= _FEW:
            moves = [UpdateOne(state_query(unit.filter), unit.update) for unit in units]
            result = await executions.bulk_write(moves, ordered=False, session=session)
            if result.matched_count != len(moves):
                raise Lost
            return
        state = dict.fromkeys((name for unit in units for name in unit.filter), 1)
        wanted = {"_id": {"$in": [unit.job.execution_id for unit in units]}}
        found = {each["_id"]: each async for each in executions.find(wanted, state, session=session)}
        if not all(is_in_state(found.get(unit.job.execution_id, {}), unit.filter) for unit in units):
            raise Lost
        moves = [UpdateOne({"_id": unit.job.execution_id}, unit.update) for unit in units]
        await executions.bulk_write(moves, ordered=False, session=session)

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
                raise Vanished

    async def _count(self, units: Sequence[Unit], session: AsyncClientSession) -> None:
        """Add the executions that end to the counters, one document per workflow and lane."""
        ended = ((unit.job.workflow_id, unit.job.lane, unit.ended) for unit in units if unit.ended is not None)
        updates = counter_updates(ended, self._clock.now())
        if updates:
            await self._database[self._names.state].bulk_write(updates, ordered=False, session=session)


def _cause_of(unit: Unit) -> dict[str, Any]:
    """Return the cause records of the changes that this unit makes."""
    job = unit.job
    cause = job.cause.then(job.workflow_id, job.execution_id)
    return {
        "entity_type": job.entity_type,
        "entity_id": job.entity_id,
        "execution_id": job.execution_id,
        "depth": cause.depth,
        "chain": list(cause.chain),
    }
