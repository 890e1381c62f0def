"""A schedule is looked at when it is due or was edited, however many others there are."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from daemon.clock import ServerClock
from daemon.schedule.scheduler import Scheduler
from daemon.schedule.sweep import Progress, Sweep
from daemon.versions.workflow_index import WorkflowIndex
from rules.schedule import Schedule
from tests.support.bench import workflow_document
from tests.support.change import parsed
from tests.support.settings import settings_for

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic_at(self, at: datetime) -> float:
        return (at - self.at).total_seconds()


class Store:
    """Stands in for the database and its collections: takes every write, holds nothing."""

    def __getitem__(self, name: str) -> "Store":
        return self

    async def update_one(self, *_: Any, **__: Any) -> None:
        return None


class Swept(Sweep):
    """Notes what is swept instead of doing so."""

    def __init__(self) -> None:
        self.runs: list[tuple[Any, datetime]] = []

    async def run(self, workflow: Any, progress: Progress, note: Any) -> None:
        self.runs.append((workflow.id, progress.fire_at))


class Setup:
    """A scheduler with ``count`` schedules, one of them due every five minutes, the others once a day."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.index, self.clock, self.sweep = WorkflowIndex(parsed), Clock(), Swept()
        self.computed = 0
        real = Schedule.next_after

        def next_after(schedule: Schedule, instant: datetime) -> datetime:
            self.computed += 1
            return real(schedule, instant)

        monkeypatch.setattr(Schedule, "next_after", next_after)
        for number in range(count):
            self.edit(number, "*/5 * * * *" if number == 0 else "30 9 * * *")
        settings = settings_for("", "crm")
        self.scheduler = Scheduler(
            cast(Any, Store()),
            settings.collections,
            self.index,
            self.sweep,
            cast(Any, None),
            cast(ServerClock, self.clock),
            grace=timedelta(hours=1),
            may_fire=lambda: True,
        )

    def edit(self, number: int, schedule: str) -> None:
        trigger = {"type": "scheduled", "entity_type": "lead", "schedule": schedule}
        self.index.edit(number, workflow_document(trigger, _id=number))

    async def look(self) -> float:
        self.computed = 0
        await self.scheduler._arrange_edited()
        return await self.scheduler._fire_due()


async def test_only_what_is_due_or_edited_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(500, monkeypatch)
    setup.scheduler.note(range(500))
    await setup.look()
    assert setup.computed == 500
    await setup.look()
    assert setup.computed == 0
    setup.edit(7, "31 9 * * *")
    setup.scheduler.note([7])
    await setup.look()
    assert setup.computed == 1
    setup.clock.at += timedelta(minutes=5)
    await setup.look()
    assert setup.sweep.runs == [(0, START + timedelta(minutes=5))]
    assert setup.computed == 2
    assert setup.scheduler._edited == {}


async def test_schedules_fire_in_the_order_in_which_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(3, monkeypatch)
    setup.edit(2, "20 9 * * *")
    setup.scheduler.note(range(3))
    await setup.look()
    setup.clock.at += timedelta(minutes=31)
    await setup.look()
    at = [START + timedelta(minutes=minutes) for minutes in (30, 20, 30)]
    assert setup.sweep.runs == [(0, at[0]), (2, at[1]), (1, at[2])]


async def test_a_schedule_that_was_edited_or_switched_off_does_not_fire_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = Setup(2, monkeypatch)
    setup.scheduler.note(range(2))
    await setup.look()
    setup.edit(1, "45 9 * * *")
    setup.index.edit(0, None)
    setup.scheduler.note(range(2))
    setup.clock.at += timedelta(minutes=31)
    await setup.look()
    assert setup.sweep.runs == []
    setup.clock.at += timedelta(minutes=15)
    await setup.look()
    assert setup.sweep.runs == [(1, START + timedelta(minutes=45))]
