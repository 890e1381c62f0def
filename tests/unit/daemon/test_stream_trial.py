"""After a death changes are tried under a count: in batches first, alone where a batch was fatal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from daemon.clock import ServerClock
from daemon.stream.decode import StreamEvent
from daemon.stream.trial import Trial, Trials

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Change:
    """What a try looks at of an event."""

    token: str
    at: datetime = AT


class State:
    """The one document that is kept."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.writes = 0

    async def find_one(self, wanted: Any) -> Any:
        return self.document

    async def replace_one(self, wanted: Any, document: dict[str, Any], *, upsert: bool) -> None:
        self.document, self.writes = document, self.writes + 1


class Clock:
    def now(self) -> datetime:
        return AT


def changes(first: int, last: int) -> list[StreamEvent]:
    return cast("list[StreamEvent]", [Change(f"82{number:04d}") for number in range(first, last + 1)])


def heir(state: State) -> Trials:
    """Return the trials of a process that has just taken over after a crash."""
    trials = Trials(cast(Any, state), cast(ServerClock, Clock()))
    trials.begin()
    return trials


async def tried(trials: Trials, commit: int, events: Sequence[StreamEvent]) -> tuple[bool, int]:
    trial = await trials.count(commit, events)
    return trial.is_alone(events[0]), trial.tries


async def test_a_backlog_that_kills_nobody_is_taken_in_batches() -> None:
    state = State()
    trials = heir(state)
    assert trials.covers(changes(1, 1)[0])
    assert await tried(trials, 10, changes(1, 500)) == (False, 1)
    assert await tried(trials, 11, changes(501, 900)) == (False, 1)
    assert state.writes == 2


async def test_a_batch_that_was_fatal_is_taken_one_change_at_a_time_and_the_next_one_together_again() -> None:
    state = State()
    await heir(state).count(10, changes(1, 3))
    trials = heir(state)
    assert [await tried(trials, 9 + first, changes(first, 9)) for first in (1, 2, 3)] == [(True, 1)] * 3
    assert await tried(trials, 13, changes(4, 9)) == (False, 1)


async def test_deaths_at_a_change_that_is_alone_are_counted() -> None:
    state = State()
    await heir(state).count(10, changes(1, 3))
    await heir(state).count(10, changes(1, 3))  # alone for the first time
    assert [await tried(heir(state), 10, changes(1, 3)) for _ in range(5)] == [(True, n) for n in (2, 3, 4, 5, 6)]


async def test_a_try_that_failed_without_a_death_is_not_counted_again() -> None:
    state = State()
    trials = heir(state)
    for _ in range(3):
        assert await tried(trials, 10, changes(1, 3)) == (False, 1)
        assert await tried(trials, 10, changes(1, 2)) == (False, 1)
    assert state.writes == 1
    assert await tried(trials, 10, changes(1, 4)) == (False, 1)
    assert await tried(heir(state), 10, changes(1, 9)) == (True, 1)


async def test_what_somebody_made_of_the_count_by_hand_is_no_try() -> None:
    state = State()
    for broken in ({"commit": "x"}, {"commit": 1, "tries": None}, {"commit": 1, "tries": 1, "upto": 5}):
        state.document = {"_id": "trial", **broken}
        assert await tried(heir(state), 1, changes(1, 2)) == (False, 1)
    assert Trial().is_alone(changes(1, 1)[0]) is False
