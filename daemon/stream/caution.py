"""Take changes in with care after a reader died: perhaps one of them killed it, and would kill every reader after it.

What had happened when the lease was taken over is taken one change at a time, and each try is counted before it is
made: ``{_id: "trial", kind, commit, tries}``. A try that was not committed died.
"""

from datetime import datetime
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection

from config.error import ReflexdError
from daemon.clock import ServerClock
from daemon.stream.decode import Event

MOST_TRIES: Final = 5
_TRIAL_ID: Final = "trial"


class ReaderDied(ReflexdError):
    """The reader died at a change again and again."""


class Caution:
    """Knows which changes are to be taken in with care, and how often the next one was tried."""

    def __init__(self, state: AsyncCollection[dict[str, Any]], clock: ServerClock) -> None:
        self._state = state
        self._clock = clock
        self._until: datetime | None = None

    def begin(self) -> None:
        """Be careful with everything that has happened up to now."""
        self._until = self._clock.now()

    def covers(self, event: Event) -> bool:
        """Return whether an event is to be taken in alone."""
        return self._until is not None and event.at <= self._until

    async def try_again(self, commit: int) -> int:
        """Count a try to follow commit number ``commit``, and return its number; raise the driver's error."""
        tries = {"$cond": [{"$eq": ["$commit", commit]}, {"$add": ["$tries", 1]}, 1]}
        trial = await self._state.find_one_and_update(
            {"_id": _TRIAL_ID},
            [{"$set": {"kind": "trial", "tries": tries, "commit": commit}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(trial["tries"]) if trial is not None else 1
