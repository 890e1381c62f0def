"""One contract for everything that runs: start and stop in any order, any number of times, leaving nothing behind."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from daemon.app import Daemon
from daemon.mongo.client import open_client
from daemon.mongo.initialise import initialise
from daemon.service import Background, Ending, Group, Service
from tests.support.poll import REPEAT_S, eventually
from tests.support.settings import settings_for

Database = AsyncDatabase[dict[str, Any]]
FEWEST: Final = 20  # services that a daemon has at the least: the search for them must not come to nothing

# A connection that the driver is cancelled in the midst of opening is closed by the garbage collector only.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


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
        daemon = Daemon(settings, client, reader_client, on_failure=deaths.append)
        await daemon.clock.sample()
        services = [*every(daemon.services), *every(daemon.beside_reader)]
        yield {f"{number}: {type(service).__name__}": service for number, service in enumerate(services)}
    gc.collect()


def every(service: Service) -> list[Service]:
    """Return a service and, of a group, all that is in it."""
    within = service.services if isinstance(service, Group) else ()
    return [service, *(each for one in within for each in every(one))]


def tasks() -> set["asyncio.Task[Any]"]:
    """The tasks of this process but the driver's: its monitors come and go by themselves."""
    return {task for task in asyncio.all_tasks() if "pymongo" not in task.get_coro().cr_code.co_filename}  # type: ignore[union-attr]


async def test_a_service_that_was_not_started_can_be_stopped(services: Mapping[str, Service]) -> None:
    assert len(services) >= FEWEST
    for service in services.values():
        async with asyncio.timeout(REPEAT_S):
            await service.stop()
            await service.stop()


async def test_a_service_leaves_no_task_behind_however_often_it_starts_and_stops(
    services: Mapping[str, Service], deaths: Deaths
) -> None:
    for name, service in services.items():
        before, dice = tasks(), random.Random(name)
        async with asyncio.timeout(REPEAT_S):
            for _ in range(6):
                await service.start()
                for _ in range(dice.randint(0, 30)):
                    await asyncio.sleep(0)
                await asyncio.gather(*(service.stop() for _ in range(dice.randint(1, 3))))
                await eventually(lambda before=before: tasks() <= before)  # type: ignore[misc]
    assert not deaths


async def test_a_start_that_is_cancelled_leaves_a_service_that_can_be_stopped(
    services: Mapping[str, Service],
) -> None:
    for service in services.values():
        before = tasks()
        async with asyncio.timeout(REPEAT_S):
            for ticks in range(0, 12, 3):
                start = asyncio.create_task(service.start())
                for _ in range(ticks):
                    await asyncio.sleep(0)
                start.cancel()
                await asyncio.wait([start])
                await service.stop()
                await eventually(lambda before=before: tasks() <= before)  # type: ignore[misc]


def has_told(deaths: Deaths, name: str) -> bool:
    return deaths == [name]


async def test_the_death_of_any_task_of_any_service_is_told(services: Mapping[str, Service], deaths: Deaths) -> None:
    for service in services.values():
        for task in service.tasks:
            await task.start()
            running = next(each for each in asyncio.all_tasks() if each.get_name() == task.name)
            running.cancel()
            await eventually(partial(has_told, deaths, task.name))
            await task.stop()
            deaths.clear()


async def test_the_other_services_of_a_group_stop_where_its_stop_is_cancelled() -> None:
    calm, slow = Background("calm", asyncio.Event().wait), Background("slow", asyncio.Event().wait)  # type: ignore[arg-type]
    before, group = tasks(), Group(calm, slow)
    await group.start()
    stop = asyncio.create_task(group.stop())
    await asyncio.sleep(0)
    stop.cancel()
    await asyncio.wait([stop])
    assert stop.cancelled()
    assert tasks() <= before


async def test_services_start_in_order_and_stop_in_reverse_order() -> None:
    order: list[str] = []

    class Noted(Ending):
        def __init__(self, name: str) -> None:
            self.name = name

        async def start(self) -> None:
            order.append(f"start {self.name}")

        async def stop(self) -> None:
            order.append(f"stop {self.name}")

    group = Group(Noted("a"), Noted("b"))
    await group.start()
    await group.stop()
    assert order == ["start a", "start b", "stop b", "stop a"]


async def test_a_task_that_dies_is_told_by_name() -> None:
    dead: list[str] = []

    async def die() -> None:
        raise RuntimeError("broken")

    background = Background("frail", die)
    background.watch(dead.append)
    await background.start()
    await eventually(lambda: dead == ["frail"])
    await background.stop()


async def test_a_task_that_ends_by_itself_counts_as_dead() -> None:
    dead: list[str] = []

    async def end() -> None:
        return

    background = Background("brief", end)
    background.watch(dead.append)
    await background.start()
    await eventually(lambda: dead == ["brief"])


async def test_a_task_that_is_stopped_is_not_dead() -> None:
    dead: list[str] = []
    background = Background("steady", asyncio.Event().wait)  # type: ignore[arg-type]
    background.watch(dead.append)
    await background.start()
    await background.stop()
    assert dead == []


async def test_a_task_that_missed_the_request_to_end_is_asked_again() -> None:
    async def deaf_once() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    background = Background("deaf", deaf_once)
    await background.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(REPEAT_S):
        await background.stop()
