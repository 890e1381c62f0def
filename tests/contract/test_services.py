"""One contract for everything that runs: start and stop in any order, any number of times, leaving nothing behind."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from daemon.app import Daemon
from daemon.mongo.client import open_client
from daemon.mongo.initialise import initialise
from daemon.service import Background, Service
from tests.support.poll import eventually
from tests.support.settings import settings_for

Database = AsyncDatabase[dict[str, Any]]
SERVICES: Final = (
    "api",
    "executor",
    "hand_edits",
    "inspector",
    "leases",
    "loader",
    "observer",
    "outside",
    "reader",
    "scheduler",
    "status",
    "switcher",
)


class Deaths(list[str]):
    """The names of services that died."""


@pytest.fixture
async def deaths() -> Deaths:
    return Deaths()


@pytest.fixture
async def services(mongo_uri: str, database: Database, deaths: Deaths) -> AsyncIterator[Mapping[str, Service]]:
    """Every service of a daemon that is wired and not started."""
    settings = settings_for(mongo_uri, database.name, lease_s=1.0)
    await initialise(database, settings)
    async with open_client(settings, "test") as client, open_client(settings, "test-reader") as reader_client:
        daemon = Daemon(settings, client, reader_client, on_death=deaths.append)
        await daemon.clock.sample()
        yield {
            name.removeprefix("_"): value
            for name, value in vars(daemon).items()
            if hasattr(value, "start") and hasattr(value, "stop")
        }


def tasks() -> set["asyncio.Task[Any]"]:
    """The tasks of this process but the driver's: its monitors come and go by themselves."""
    return {task for task in asyncio.all_tasks() if "pymongo" not in task.get_coro().cr_code.co_filename}  # type: ignore[union-attr]


async def test_every_service_of_the_daemon_is_held_to_the_contract(services: Mapping[str, Service]) -> None:
    assert tuple(sorted(services)) == SERVICES


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_that_was_not_started_can_be_stopped(services: Mapping[str, Service], name: str) -> None:
    async with asyncio.timeout(5):
        await services[name].stop()
        await services[name].stop()


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_leaves_no_task_behind_however_often_it_starts_and_stops(
    services: Mapping[str, Service], name: str, deaths: Deaths
) -> None:
    before, dice = tasks(), random.Random(name)
    async with asyncio.timeout(20):
        for _ in range(6):
            await services[name].start()
            for _ in range(dice.randint(0, 30)):
                await asyncio.sleep(0)
            await asyncio.gather(*(services[name].stop() for _ in range(dice.randint(1, 3))))
            await eventually(lambda: tasks() <= before)
    assert not deaths


@pytest.mark.parametrize("name", SERVICES)
async def test_a_start_that_is_cancelled_leaves_a_service_that_can_be_stopped(
    services: Mapping[str, Service], name: str
) -> None:
    before = tasks()
    async with asyncio.timeout(10):
        for ticks in range(0, 12, 3):
            start = asyncio.create_task(services[name].start())
            for _ in range(ticks):
                await asyncio.sleep(0)
            start.cancel()
            await asyncio.wait([start])
            await services[name].stop()
            await eventually(lambda: tasks() <= before)


async def test_a_task_that_dies_is_told_by_name() -> None:
    dead: list[str] = []

    async def die() -> None:
        raise RuntimeError("broken")

    background = Background("frail", die, dead.append)
    background.start()
    await eventually(lambda: dead == ["frail"])
    await background.stop()


async def test_a_task_that_ends_by_itself_counts_as_dead() -> None:
    dead: list[str] = []

    async def end() -> None:
        return

    background = Background("brief", end, dead.append)
    background.start()
    await eventually(lambda: dead == ["brief"])


async def test_a_task_that_is_stopped_is_not_dead() -> None:
    dead: list[str] = []
    background = Background("steady", asyncio.Event().wait, dead.append)  # type: ignore[arg-type]
    background.start()
    await background.stop()
    assert dead == []


async def test_a_task_that_missed_the_request_to_end_is_asked_again() -> None:
    async def deaf_once() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    background = Background("deaf", deaf_once, lambda name: None)
    background.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await background.stop()
