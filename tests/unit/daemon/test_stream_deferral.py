"""Which decisions wait for the next transaction, and for how long."""

from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from bson.timestamp import Timestamp

from daemon.stream.checkpoint import Checkpoint
from daemon.stream.decode import EventSubject, StreamEvent
from daemon.stream.deferral import LONGEST_S, Deferral
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.origin import Origin
from daemon.stream.writes import Writes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POSITION = Checkpoint(7, 40, {"_data": "82"}, Timestamp(1, 1), 0, NO_CAUSES, NOW, "hash", Origin("rs0"))
DECISION: dict[str, Any] = {"_id": ObjectId(), "kind": "change"}


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def event(size: int = 100) -> StreamEvent:
    return StreamEvent(EventSubject.ENTITY, "82", Timestamp(1, 1), None, NOW, "update", "leads", 1, {}, size=size)


def quiet() -> Writes:
    return Writes(decisions=[dict(DECISION)])


def just_committed(clock: Clock) -> Deferral:
    deferral = Deferral(clock)
    deferral.committed()
    return deferral


def test_decisions_are_committed_at_once_when_nothing_was_committed_lately() -> None:
    clock = Clock()
    deferral = just_committed(clock)
    assert deferral.takes(quiet(), [event()])
    clock.now += LONGEST_S
    assert not deferral.takes(quiet(), [event()])
    assert not Deferral(clock).takes(quiet(), [event()])


def test_whatever_somebody_waits_for_is_committed_at_once() -> None:
    deferral = just_committed(Clock())
    assert deferral.takes(Writes(), [event()])
    assert not deferral.takes(Writes(executions=[{}]), [event()])
    assert not deferral.takes(Writes(rewritten=[1]), [event()])


def test_many_or_large_events_do_not_wait() -> None:
    deferral = just_committed(Clock())
    assert not deferral.takes(quiet(), [event(2 * 1024 * 1024)])
    deferral.add(quiet(), [event(900 * 1024)], POSITION)
    assert not deferral.takes(quiet(), [event(200 * 1024)])
    assert not deferral.takes(quiet(), [event()] * 1_001)


def test_what_waited_comes_before_what_is_committed_and_is_forgotten_then() -> None:
    deferral = just_committed(Clock())
    first, second = quiet(), quiet()
    deferral.add(first, [event()], POSITION)
    deferral.put_before(second)
    assert [decision["_id"] for decision in second.decisions] == [DECISION["_id"]] * 2
    waiting = (deferral.position, deferral.begun.is_set())
    deferral.committed()
    assert waiting == (POSITION, True)
    assert (deferral.position, deferral.begun.is_set(), deferral.taken_back()) == (None, False, [])


def test_what_could_not_be_committed_is_taken_in_again_and_nothing_waits_until_the_next_commit() -> None:
    deferral = just_committed(Clock())
    deferral.add(quiet(), [event()], POSITION)
    assert len(deferral.taken_back()) == 1
    assert deferral.position is None
    assert not deferral.takes(quiet(), [event()])


def test_the_wait_counts_from_the_last_commit() -> None:
    clock = Clock()
    deferral = just_committed(clock)
    clock.now += LONGEST_S / 4
    deferral.add(quiet(), [event()], POSITION)
    assert abs(deferral.rest_s - LONGEST_S * 3 / 4) < 1e-6
