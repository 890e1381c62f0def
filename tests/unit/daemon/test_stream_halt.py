"""What the reader says when it halts, and how long it leaves the role to others."""

from datetime import UTC, datetime
from typing import Any, cast

from pymongo.errors import AutoReconnect

from config.error import CheckpointCorrupt, HistoryLost
from daemon.event import Event
from daemon.stream.halt import Halt
from tests.support.events import Events

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
CORRUPT = CheckpointCorrupt("checkpoint: its token cannot be used")


class State:
    """The one document that is kept; out of reach while ``error`` is set."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.error: Exception | None = None

    async def update_one(self, wanted: dict[str, Any], update: dict[str, Any], *, upsert: bool) -> None:
        if self.error is not None:
            raise self.error
        self.document = {**wanted, **update["$set"]}

    async def delete_one(self, wanted: dict[str, Any]) -> None:
        self.document = None


class Clock:
    def now(self) -> datetime:
        return AT


def halt_on(state: State) -> Halt:
    return Halt(cast(Any, state), cast(Any, Clock()), (5.0, 60.0))


async def test_the_pauses_grow_up_to_the_longest_and_begin_anew_once_the_stream_was_read() -> None:
    halt = halt_on(State())
    assert [await halt.begin(CORRUPT) for _ in range(6)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    await halt.end()
    assert await halt.begin(CORRUPT) == 5.0


async def test_what_is_wrong_is_kept_for_all_replicas_until_the_stream_is_read() -> None:
    state = State()
    halt = halt_on(state)
    await halt.begin(HistoryLost("no longer in the oplog"))
    assert state.document == {"_id": "halt", "kind": "halt", "error": "no longer in the oplog", "at": AT}
    assert halt.error == "no longer in the oplog"
    await halt.end()
    left: list[object] = [state.document, halt.error]
    assert left == [None, None]


async def test_a_corrupt_checkpoint_is_one_line_in_the_log_however_often_it_is_tried(events: Events) -> None:
    halt = halt_on(State())
    for error in (CORRUPT, CORRUPT, CheckpointCorrupt("checkpoint: written elsewhere")):
        await halt.begin(error)
    assert len(events.of(Event.CHECKPOINT_CORRUPT)) == 2


async def test_the_role_is_given_back_also_where_mongodb_does_not_answer() -> None:
    state = State()
    state.error = AutoReconnect("gone")
    assert await halt_on(state).begin(CORRUPT) == 5.0
