"""Complete what people begin by editing execution documents in Mongo: cancelled by ``status``, or queued again.

Edits that put an execution into the queue are met by the loader; those that only end one are looked for here, by
the reader's replica, in an index that holds nothing else.
"""

from collections.abc import Callable
from typing import Any, Final

from bson.errors import BSONError
from pymongo.errors import PyMongoError

from daemon.beat import Beat
from daemon.event import Event
from daemon.executions.burial import Bury
from daemon.executions.intervention import Interventions
from daemon.mongo.failure import is_transient, may_pass
from daemon.service import Background
from daemon.telemetry import emit

LOOK_S: Final = 3.0
_MESSAGE_CHARACTERS: Final = 200


class HandEdits:
    """Finds executions that were edited by hand and settles them."""

    def __init__(
        self,
        interventions: Interventions,
        bury: Bury,
        *,
        beat: Beat,
        is_reader: Callable[[], bool],
        on_settled: Callable[[], None],
        on_death: Callable[[str], None],
    ) -> None:
        """``on_settled`` is called when an execution was settled: it may be due now."""
        self._interventions = interventions
        self._bury = bury
        self._beat = beat
        self._is_reader = is_reader
        self._on_settled = on_settled
        self._task = Background("hand edits", self._run, on_death)

    async def start(self) -> None:
        """Look from now on."""
        self._task.start()

    async def stop(self) -> None:
        """Stop looking; what was edited meanwhile is settled by the next reader."""
        await self._task.stop()

    async def settle(self, execution_id: Any) -> None:
        """Settle one execution that somebody met; raise the driver's error if the database does not answer."""
        try:
            status = await self._interventions.settle(execution_id)
        except (PyMongoError, BSONError, OverflowError) as error:  # what was edited has no room for what it asks
            if is_transient(error):
                raise
            await self._bury({"_id": execution_id}, str(error)[:_MESSAGE_CHARACTERS])
            return
        if status is not None:
            emit(Event.EXECUTION_EDITED, execution_id=execution_id, status=status)
            self._on_settled()

    async def _run(self) -> None:
        while True:
            await self._beat.next(LOOK_S)
            try:
                if self._is_reader():
                    for execution_id in await self._interventions.find_cancelled_by_hand():
                        await self.settle(execution_id)
            except PyMongoError as error:
                if not may_pass(error):
                    raise
                emit(Event.STORE_UNAVAILABLE, during="look for edited executions", error=error)
