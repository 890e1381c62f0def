"""How far behind the stream a replica says it is."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from daemon.event import Event
from daemon.metrics import Activity, Metrics
from daemon.status import StatusReporter
from daemon.stream.cursor import AWAIT_S
from tests.support.events import Events
from tests.support.jobs import NOW


class Clock:
    """Stands still."""

    def now(self) -> datetime:
        return NOW


class Executions:
    """An empty collection."""

    async def count_documents(self, query: dict[str, Any], limit: int) -> int:
        return 0

    def find(self, *query: Any) -> "Executions":
        return self

    def sort(self, *keys: Any) -> "Executions":
        return self

    def limit(self, count: int) -> "Executions":
        return self

    async def to_list(self) -> list[Any]:
        return []


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW - timedelta(seconds=seconds)


def reporter(last_change_s: float | None, caught_up_s: float | None, *, is_reader: bool = True) -> StatusReporter:
    """Return the reporter of a replica that committed its last change, and read everything, so many seconds ago."""
    metrics = Metrics(last_change_at=ago(last_change_s), caught_up_at=ago(caught_up_s))
    return StatusReporter(
        Executions(),  # type: ignore[arg-type]
        Clock(),  # type: ignore[arg-type]
        metrics,
        interval_s=60,
        all_lanes=32,
        activity=lambda: Activity(0, 0, 0, 0, 32, is_reader),
    )


@pytest.mark.parametrize(
    ("last_change_s", "caught_up_s", "lag_s"),
    [
        (None, None, None),
        (None, 1, 0.0),
        (500, AWAIT_S - 1, 0.0),  # there is nothing to read, and the server keeps its answer back
        (500, AWAIT_S + 30, 30.0),  # it has not answered for too long
        (7, 9, 7.0),  # changes are being read that were made a while ago
    ],
)
def test_silence_while_the_server_may_keep_its_answer_back_is_no_lag(
    last_change_s: float | None, caught_up_s: float | None, lag_s: float | None
) -> None:
    assert reporter(last_change_s, caught_up_s).lag_s() == lag_s


def test_a_replica_that_does_not_read_has_no_lag() -> None:
    assert reporter(500, 500, is_reader=False).lag_s() is None


@pytest.mark.parametrize(("last_change_s", "said"), [(59, []), (61, [61.0])])
async def test_a_reader_that_is_far_behind_says_so(last_change_s: float, said: list[float], events: Events) -> None:
    await reporter(last_change_s, 100)._report()
    assert [fields["lag_s"] for fields in events.of(Event.READER_BEHIND)] == said
