"""The process that renders: what ends a rendering there, and what never follows from it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import psutil
import pytest

from actions import rendering
from actions.rendering import Renderer
from config.error import PermanentActionError, TransientActionError
from tests.support.poll import eventually

ODD = "tests.support.odd_renderer"


class Odd:
    """A renderer whose process does what it is told, and what it said of endings."""

    def __init__(self) -> None:
        self.endings: list[str] = []
        self.renderer = Renderer(self.endings.append, module=ODD)

    async def do(self, deed: str, line: bytes = b"") -> str:
        return (await self.renderer.render({"text": deed}, {}, line=line))["text"]


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Odd]:
    odd = Odd()
    yield odd
    await odd.renderer.stop()


@pytest.fixture
def odd(shared: Odd) -> Odd:
    shared.endings.clear()
    return shared


async def test_rendering_that_goes_on_for_ever_is_ended_by_the_kernel_and_names_the_limit(odd: Odd) -> None:
    with pytest.raises(PermanentActionError, match="rendering: time limit of 1 s of processor time passed"):
        await odd.do("loop")

    assert odd.endings == ["time limit of 1 s of processor time passed"]
    assert await odd.do("work") == "worked"


async def test_rendering_that_takes_too_much_memory_names_the_limit(odd: Odd) -> None:
    with pytest.raises(PermanentActionError, match="memory limit of 24,000,000 bytes passed"):
        await odd.do("allocate")

    assert odd.endings == []


async def test_rendering_that_crashes_its_process_is_tried_once_more_and_fails(odd: Odd) -> None:
    with pytest.raises(PermanentActionError, match="rendering: the process was ended by SIGSEGV"):
        await odd.do("crash")

    assert len(odd.endings) == 2
    assert await odd.do("work") == "worked"


async def test_rendering_whose_whole_process_is_killed_is_tried_again_later_by_another_one(odd: Odd) -> None:
    with pytest.raises(TransientActionError, match="rendering: the process ended"):
        await odd.do("murder")

    assert await odd.do("work") == "worked"


async def test_renderings_beside_one_that_never_ends_go_on_in_lines_of_their_own(odd: Odd) -> None:
    heavy = [asyncio.create_task(odd.do("loop", b"heavy")) for _ in range(2)]
    await asyncio.sleep(0)

    for _ in range(20):
        assert await odd.do("work", b"light") == "worked"

    assert not heavy[1].done()  # one at a time: the second one has not even begun
    await odd.renderer.stop()
    await asyncio.wait(heavy)


async def test_lines_take_turns_where_more_want_to_render_than_can(odd: Odd) -> None:
    ended: list[bytes] = []

    async def work(line: bytes) -> None:
        await odd.do("work", line)
        ended.append(line)

    heavy = [work(line) for _ in range(6) for line in (b"a", b"b")]
    await asyncio.gather(*heavy, work(b"c"))

    assert ended.index(b"c") <= 3  # at most one of each line before it, and those beside it


async def test_process_that_a_rendering_left_large_is_replaced(odd: Odd) -> None:
    large = await odd.do("keep")

    assert large not in {await odd.do("process") for _ in range(4)}
    assert odd.endings == []


async def test_process_gets_neither_the_environment_nor_the_files_of_the_daemon(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await odd.renderer.stop()
    monkeypatch.setenv("REFLEXD_SMTP_PASSWORD", "correct-horse-battery")

    names = (await odd.do("environment")).split()
    descriptors = (await odd.do("descriptors")).split()

    assert set(names) <= {"PYTHONPATH", "LC_CTYPE", "TZ"}
    assert len(descriptors) == 4  # nothing for input, output and errors, and the one socket


async def test_caller_that_is_cut_off_leaves_the_process_fit_for_the_next(odd: Odd) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await odd.do("work")

    assert (await odd.do("process")).isdecimal()
    assert odd.endings == []


async def test_rendering_that_does_not_get_its_turn_is_asked_to_come_back_later(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "WAIT_S", 0.05)
    first = asyncio.create_task(odd.do("loop"))
    await asyncio.sleep(0)

    with pytest.raises(TransientActionError, match=r"did not get its turn within 0\.05 s") as caught:
        await odd.do("work")
    assert caught.value.retry_after == timedelta(seconds=0.05)
    with pytest.raises(TransientActionError, match=r"no answer within 0\.05 s"):
        await first


async def test_process_ends_when_there_is_nothing_to_render_and_when_the_renderer_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = Odd()
    idle = psutil.Process(int(await odd.do("process")))
    monkeypatch.setattr(rendering, "IDLE_S", 0.01)
    await odd.do("process")
    await eventually(lambda: not idle.is_running())

    monkeypatch.setattr(rendering, "IDLE_S", 60.0)
    stopped = psutil.Process(int(await odd.do("process")))
    await odd.renderer.stop()
    await eventually(lambda: not stopped.is_running())
    await odd.renderer.stop()


DAEMON = """
import asyncio, sys
from actions.rendering import Renderer
async def main():
    renderer = Renderer(module="tests.support.odd_renderer")
    print((await renderer.render({"text": "process"}, {}))["text"], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_process_ends_with_a_daemon_that_is_killed() -> None:
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, cwd=os.curdir)
    assert daemon.stdout is not None
    with daemon:
        child = psutil.Process(int(await asyncio.to_thread(daemon.stdout.readline)))
        first = child.parent()
        daemon.send_signal(signal.SIGKILL)

    assert first is not None
    await eventually(lambda: not child.is_running() and not first.is_running())
