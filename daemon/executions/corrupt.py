"""End execution documents that the daemon cannot have written: they never run by accident."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.clock import ServerClock
from daemon.event import Event
from daemon.executions.counter import counter_update
from daemon.executions.job import is_workflow_id
from daemon.executions.machine import advance
from daemon.executions.occurrence import Corrupt
from daemon.executions.standing import unreadable
from daemon.executions.update import marking_update
from daemon.mongo.transaction import in_transaction
from daemon.telemetry import emit
from rules.program import NO_PROGRAM

_TIMEOUT_S: Final = 30.0
EndCorrupt = Callable[[Mapping[str, Any], str], Awaitable[None]]


class CorruptExecutions:
    """Marks executions as failed with reason ``corrupt``, and counts them."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], names: Collections, clock: ServerClock) -> None:
        self._client = database.client
        self._executions = database[names.executions]
        self._state = database[names.state]
        self._clock = clock

    async def end(self, document: Mapping[str, Any], problem: str) -> None:
        """End an execution because of ``problem``; one that had ended keeps its end and is only taken off the queue.

        Raise the driver's error if the database does not answer.
        """
        emit(Event.EXECUTION_CORRUPT, execution_id=document["_id"], error=problem)
        await in_transaction(self._client, partial(self._end, document["_id"], problem), timeout_s=_TIMEOUT_S)

    async def _end(self, execution_id: Any, problem: str, session: AsyncClientSession) -> None:
        found = await self._executions.find_one({"_id": execution_id}, session=session)
        if found is None:
            return
        now, counted_as, workflow_id = self._clock.now(), found.get("counted_as"), found.get("workflow_id")
        standing = unreadable(now)
        move = advance(NO_PROGRAM, standing, Corrupt(problem, counted_as), now)
        if move.ended_at is not None and is_workflow_id(workflow_id):
            counter = counter_update(workflow_id, "burial", (1, 0, 1), now)
            await self._state.bulk_write([counter], session=session)
        update = marking_update(standing, move, now)
        await self._executions.update_one({"_id": execution_id}, update, session=session)
