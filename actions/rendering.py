"""Renders the Liquid templates that users write, in a process apart: nothing escapes, and nothing runs for ever.

What a template may cost is counted while it is rendered, and the kernel ends a rendering that takes more processor
time or memory than any may (``rendering_worker.py``); neither holds up the daemon's loop or its interpreter. The
renderings of one workflow wait in a line of their own and lines take turns, so a workflow whose templates are heavy
delays itself. The process is started when there is something to render and ended when there was nothing for a while.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from weakref import WeakValueDictionary

from actions.rendering_frame import ENDED, PROBLEM, TEXTS
from actions.rendering_limit import PROCESSOR_S
from actions.rendering_process import CHILDREN, WORKER, ProcessEnded, RenderingProcess
from actions.rendering_request import request_of
from config.error import PermanentActionError, TransientActionError

WAIT_S: Final = 10.0  # for a turn, and again for the answer: only a machine that stands still takes so long
IDLE_S: Final = 60.0  # without anything to render until the process is ended


class Renderer:
    """Renders texts as plain text or as HTML; in HTML every value is escaped."""

    def __init__(self, on_ended: Callable[[str], None] = lambda _reason: None, *, module: str = WORKER) -> None:
        """``on_ended`` is told why whenever a rendering, or the process, was ended; ``module`` is what it runs."""
        self._module = module
        self._on_ended = on_ended
        self._lines: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._turns = asyncio.Semaphore(CHILDREN)
        self._free = list(range(CHILDREN))
        self._process: RenderingProcess | None = None
        self._starting = asyncio.Lock()
        self._work: set[asyncio.Task[dict[str, str]]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._idle: asyncio.TimerHandle | None = None

    async def render(
        self, sources: Mapping[str, str], values: Mapping[str, Any], *, line: bytes = b""
    ) -> dict[str, str]:
        """Return every source rendered with ``values``, under its name; the source named ``html`` is HTML.

        Line breaks that values bring into the source named ``subject`` become blanks. ``line`` tells whose rendering it
        is. Raises PermanentActionError, naming the source and the limit or the mistake, and TransientActionError where
        the machine has no room for another process, or, to come back later, where the line is too long.
        """
        request = request_of(sources, values)
        own = self._lines.get(line) or self._lines.setdefault(line, asyncio.Lock())
        try:
            async with asyncio.timeout(WAIT_S):
                await own.acquire()
                try:
                    await self._turns.acquire()
                except BaseException:
                    own.release()
                    raise
        except TimeoutError as error:
            problem = f"the template did not get its turn within {WAIT_S:g} s"
            raise TransientActionError(problem, retry_after=timedelta(seconds=WAIT_S)) from error
        # From here on it runs to its end: whoever asked may be cancelled, its answer still has to be read.
        work = asyncio.create_task(self._rendered(request), name="rendering")
        self._work.add(work)
        work.add_done_callback(lambda _: self._turn_over(work, own))
        return await asyncio.shield(work)

    async def stop(self) -> None:
        """End the process and what it renders; whatever is asked for later starts another one."""
        while self._work:
            for work in self._work:
                work.cancel()
            await asyncio.wait(self._work)
        self._keep()
        self._close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _turn_over(self, work: asyncio.Task[dict[str, str]], own: asyncio.Lock) -> None:
        self._work.discard(work)
        if not work.cancelled():
            work.exception()  # or asyncio says that nobody has asked for it
        self._turns.release()
        own.release()
        self._keep()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._end_if_idle)

    def _keep(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _end_if_idle(self) -> None:
        if not self._work:
            self._close()

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            closing = asyncio.create_task(process.close(), name="rendering process ends")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _rendered(self, request: bytes) -> dict[str, str]:
        child = self._free.pop()
        try:
            return _texts_of(await self._answer(child, request))
        finally:
            self._free.append(child)

    async def _answer(self, child: int, request: bytes) -> Mapping[str, Any]:
        """Return the answer; asked once more where the process ended beside the rendering, or for no known reason.

        Raises PermanentActionError where it was the rendering that ended it, else TransientActionError.
        """
        reason, is_its_own = "", False
        for _ in range(2):
            process = await self._running()
            try:
                async with asyncio.timeout(WAIT_S):
                    answer = await process.ask(child, request)
            except TimeoutError as error:
                self._lose(process)
                self._on_ended(reason := f"no answer within {WAIT_S:g} s")
                raise TransientActionError(f"rendering: {reason}") from error
            except ProcessEnded as error:
                self._lose(process)
                self._on_ended(reason := f"the process ended: {error}")
                continue
            if ENDED not in answer:
                return answer
            self._on_ended(reason := _reason_of(answer[ENDED]))
            if answer[ENDED] != signal.SIGKILL:  # nothing here sends that one: a person, or a system short of memory
                is_its_own = True
            if answer[ENDED] == signal.SIGPROF:
                break
        raise (PermanentActionError if is_its_own else TransientActionError)(f"rendering: {reason}")

    async def _running(self) -> RenderingProcess:
        async with self._starting:
            if self._process is None:
                try:
                    self._process = await asyncio.to_thread(RenderingProcess, self._module)
                except OSError as error:
                    raise TransientActionError(f"the rendering process cannot be started: {error.strerror}") from error
            return self._process

    def _lose(self, process: RenderingProcess) -> None:
        if self._process is process:
            self._close()


def _reason_of(number: int) -> str:
    if number == signal.SIGPROF:
        return f"time limit of {PROCESSOR_S:g} s of processor time passed"
    with contextlib.suppress(ValueError):
        return f"the process was ended by {signal.Signals(number).name}"
    return "the process ended by itself"


def _texts_of(answer: Mapping[str, Any]) -> dict[str, str]:
    if PROBLEM in answer:
        raise PermanentActionError(str(answer[PROBLEM]))
    return dict(answer[TEXTS])
