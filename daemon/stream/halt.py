"""Halt the reader until a person decides: tell all replicas, and try again with back-off.

``{_id: "halt", kind: "halt", error, at}`` in workflow_state, from the first reader that halts to the next that reads.
"""

from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from config.error import CheckpointCorrupt
from daemon.clock import ServerClock
from daemon.event import Event
from daemon.mongo.failure import may_pass
from daemon.telemetry import emit

HALT_ID: Final = "halt"


class Halt:
    """Knows whether the reader of this replica has halted, and for how long it leaves the role to others."""

    def __init__(
        self, state: AsyncCollection[dict[str, Any]], clock: ServerClock, pauses_s: tuple[float, float]
    ) -> None:
        """``pauses_s``: the first pause and the longest, in seconds."""
        self._state = state
        self._clock = clock
        self._shortest_s, self._longest_s = pauses_s
        self._next_s = self._shortest_s
        self.error: str | None = None

    async def begin(self, error: Exception) -> float:
        """Log and store why this reader halts; return for how many seconds it leaves the role to others.

        The log has one line for each reason. Every replica shows the stored reason; where MongoDB does not answer, the
        reason is stored at the next try.
        """
        if isinstance(error, CheckpointCorrupt) and self.error != str(error):
            emit(Event.CHECKPOINT_CORRUPT, error=error)
        self.error = str(error)
        try:
            fields = {"kind": HALT_ID, "error": self.error, "at": self._clock.now()}
            await self._state.update_one({"_id": HALT_ID}, {"$set": fields}, upsert=True)
        except PyMongoError as failure:
            if not may_pass(failure):
                raise
        pause_s, self._next_s = self._next_s, min(self._next_s * 2, self._longest_s)
        return pause_s

    async def end(self) -> None:
        """Remove the stored reason: the stream is read. Raise the driver's error if MongoDB does not answer."""
        self.error, self._next_s = None, self._shortest_s
        await self._state.delete_one({"_id": HALT_ID})
