"""Render the Liquid templates that users write, in a separate process and within limits.

The rendering process counts the work of a template while it renders, and the kernel ends a rendering that takes too
much processor time or memory (``rendering_worker.py``); neither blocks the daemon's event loop or interpreter. The
renderings of one workflow wait in a line of their own and the lines take turns, so a workflow with heavy templates
delays only itself. The process starts with the first rendering and ends after a while without any.
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

WAIT_S: Final = 10.0  # for a turn, and again for the answer: longer only if the machine stands still
IDLE_S: Final = 60.0  # without anything to render until the process is ended


class Renderer:
    """Renders texts as plain text or as HTML; in HTML every value is escaped."""

    def __init__(self, on_ended: Callable[[str], None] = lambda _reason: None, *, module: str = WORKER) -> None:
        """``on_ended`` is called with the reason when a rendering or the process ended; the process runs ``module``."""
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

        Line breaks that values bring into the source named ``subject`` become blanks. ``line`` is the key of the line
        that this rendering waits in. Raises PermanentActionError, naming the source and the limit or the mistake, and
        TransientActionError where the machine has no room for another process, or, to come back later, where the line
        is too long.
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
        # From here on the rendering runs to its end: even if the caller is cancelled, the answer has to be read.
        work = asyncio.create_task(self._rendered(request), name="rendering")
        self._work.add(work)
        work.add_done_callback(lambda _: self._turn_over(work, own))
        return await asyncio.shield(work)

    async def stop(self) -> None:
        """End the process and its renderings; a later rendering starts another process."""
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
            work.exception()  # otherwise asyncio warns that it was never retrieved
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
        """Return the answer; ask once more if the process ended for a reason other than the time limit.

        Raises PermanentActionError if the rendering caused the end, else TransientActionError.
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
            if answer[ENDED] != signal.SIGKILL:  # we never send SIGKILL: a person did, or a system short of memory
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
