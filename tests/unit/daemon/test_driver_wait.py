"""Once a client is open, the driver's waits keep its lock in order however they are cancelled."""

import asyncio

import pymongo.lock
import pytest

from daemon.mongo.client import open_client
from tests.support.settings import settings_for


@pytest.fixture(autouse=True)
async def opened_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymongo.lock, "wait_for", asyncio.wait_for)
    await open_client(settings_for("mongodb://127.0.0.1:9", "crm"), "test").close()


async def turns_of_the_loop() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_wait_that_is_cancelled_twice_does_not_end_before_it_has_its_lock_back() -> None:
    lock = pymongo.lock._async_create_lock()
    condition = pymongo.lock._async_create_condition(lock)

    async def wait() -> None:
        async with lock:
            await pymongo.lock._async_cond_wait(condition, 60.0)

    waiting = asyncio.create_task(wait())
    await turns_of_the_loop()
    async with lock:
        for _ in range(2):
            waiting.cancel()
            await turns_of_the_loop()
        assert not waiting.done()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert not lock.locked()


async def test_a_wait_ends_when_its_time_is_over() -> None:
    lock = pymongo.lock._async_create_lock()
    condition = pymongo.lock._async_create_condition(lock)
    async with lock:
        assert not await pymongo.lock._async_cond_wait(condition, 0.001)
    assert not lock.locked()
