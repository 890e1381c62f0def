"""Count the tries of the changes that follow a commit: one of them may end every process that reads it.

After a reader was killed, the changes up to that time are tried under a count: ``{_id: "trial", kind, commit, tries,
upto, alone_upto}``, stored before each try. If the try is not committed, it is taken to have ended the process. At
first the count is for a batch of changes. If the process ends again, the changes of that batch (up to the position
``alone_upto``) are tried one at a time, and those behind them in batches again. A try that failed while its process
lives on is not counted twice. Vague answers of MongoDB are counted in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from config.error import ReflexdError
from daemon.clock import ServerClock
from daemon.mongo.failure import VAGUE_TRIES, is_vague
from daemon.stream.decode import StreamEvent

MOST_TRIES: Final = 5
TRIAL_ID: Final = "trial"


class ReaderDied(ReflexdError):
    """A change ended the process again and again."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The ``tries``-th try to follow commit number ``commit``, with changes up to the position ``upto``.

    Positions are texts of tokens, which sort as the stream does. ``tries`` counts anew when a change is first tried
    alone, because another change of its batch may have been fatal.
    """

    commit: int = -1
    tries: int = 0
    upto: str = ""
    alone_upto: str = ""

    def is_alone(self, event: StreamEvent) -> bool:
        """Return whether an event is to be tried alone."""
        return event.token <= self.alone_upto

    def next(self, commit: int, events: Sequence[StreamEvent], *, has_lived: bool = False) -> "Trial":
        """Return the try of ``events`` after this one, which was not committed if it followed the same commit.

        ``has_lived``: the process that made this try did not end by it.
        """
        first, last = events[0], events[-1]
        is_repeated = commit == self.commit
        has_died = is_repeated and not has_lived
        was_alone = self.is_alone(first)
        alone_upto = max(self.alone_upto, self.upto or first.token) if has_died else self.alone_upto
        alone = first.token <= alone_upto
        tries = self.tries + has_died if is_repeated and was_alone == alone else 1
        return Trial(commit, tries, first.token if alone else last.token, alone_upto)

    def to_document(self) -> dict[str, Any]:
        """Return the stored form."""
        named = {"commit": self.commit, "tries": self.tries, "upto": self.upto, "alone_upto": self.alone_upto}
        return {"_id": TRIAL_ID, "kind": TRIAL_ID, **named}


class Trials:
    """Counts the tries of the next changes in the stream."""

    def __init__(self, state: AsyncCollection[dict[str, Any]], clock: ServerClock) -> None:
        self._state = state
        self._clock = clock
        self._until: datetime | None = None
        self._last: Trial | None = None  # None: the stored try is not read yet
        self._is_ours = False  # whether this process counted the last try, and so survived it
        self._vague = (-1, 0)  # the commit that the last failure followed, and how many have followed it

    def begin(self) -> None:
        """Count the tries of all changes up to now."""
        self._until = self._clock.now()
        self._last, self._is_ours = None, False

    def covers(self, event: StreamEvent) -> bool:
        """Return whether the tries of an event are counted."""
        return self._until is not None and event.at <= self._until

    async def count(self, commit: int, events: Sequence[StreamEvent]) -> Trial:
        """Count the try to follow commit number ``commit`` with ``events``; raise the driver's error."""
        if self._last is None:
            self._last = _trial_from(await self._state.find_one({"_id": TRIAL_ID}))
        last = self._last
        if self._is_ours and last.commit == commit and events[-1].token <= max(last.upto, last.alone_upto):
            return last
        trial = last.next(commit, events, has_lived=self._is_ours)
        await self._state.replace_one({"_id": TRIAL_ID}, trial.to_document(), upsert=True)
        self._last, self._is_ours = trial, True
        return trial

    def is_worth_another(self, commit: int, error: Exception) -> bool:
        """Return whether to try again after a vague answer of MongoDB to the changes behind commit ``commit``."""
        known, tries = self._vague
        self._vague = (commit, tries + 1 if known == commit else 1)
        return is_vague(error) and self._vague[1] < VAGUE_TRIES


def _trial_from(document: Mapping[str, Any] | None) -> Trial:
    """Return the stored try; one that somebody edited counts as none."""
    found = document or {}
    commit, tries = found.get("commit"), found.get("tries")
    upto, alone_upto = found.get("upto", ""), found.get("alone_upto", "")
    if not isinstance(commit, int) or not isinstance(tries, int):
        return Trial()
    return Trial(commit, tries, upto, alone_upto) if isinstance(upto, str) and isinstance(alone_upto, str) else Trial()
