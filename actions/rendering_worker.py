"""The process that renders templates, apart from the daemon: ``python -m actions.rendering_worker FD FD``.

The first process loads the code for rendering and forks one child for each socket that it is given; the children share
the loaded code. A child answers one request after another. The kernel ends a child that uses more processor time than
a rendering may, and limits its memory; the first process then tells the daemon and forks another child. A child also
ends, and is replaced, when a rendering has left it much larger than before. When the daemon ends, in whatever way, the
kernel closes its sockets; then the children end, and with the last of them the first process.

The process reads nothing but its sockets: no settings, no environment, no standard input.
"""

import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from actions.rendering_engine import Engine, RenderingFailed
from actions.rendering_frame import END, ENDED, HEAD_BYTES, PROBLEM, TEXTS, answer, length_of
from actions.rendering_limit import MEMORY_BYTES, PROCESSOR_S, SPARE_BYTES
from actions.rendering_request import decoded

GONE: Final = 0  # how a child exits when the daemon has closed its socket
GROWN: Final = 3  # how it exits to be replaced
_NICENESS: Final = 5  # the daemon goes before a heavy template


class _Parent:
    """The first process: it keeps a child for every socket until the daemon has ended, or ends the process."""

    def __init__(self, engine: Engine, sockets: Sequence[int]) -> None:
        self._engine = engine
        self._sockets = sockets
        self._children: dict[int, int] = {}
        self._is_ending = False

    def run(self) -> None:
        """Return when no child is left."""
        for socket in self._sockets:
            self._fork(socket)
        while self._children:
            child, status = os.wait()
            self._replace(self._children.pop(child), os.waitstatus_to_exitcode(status))

    def end(self, *_signal: object) -> None:
        """End all children now; ``run`` then waits for them."""
        self._is_ending = True
        for child in self._children:
            os.kill(child, signal.SIGKILL)

    def _replace(self, socket: int, code: int) -> None:
        if code == GONE or self._is_ending:
            return
        if code != GROWN:
            with contextlib.suppress(OSError):  # the daemon has gone as well
                _send(socket, answer(ENDED, max(-code, 0)))
        self._fork(socket)

    def _fork(self, socket: int) -> None:
        child = os.fork()
        if child:
            self._children[child] = socket
            return
        code = 1
        try:
            signal.signal(END, signal.SIG_DFL)
            for each in self._sockets:
                if each != socket:
                    os.close(each)
            code = _served(self._engine, socket)
        finally:
            _exit(code)


def main(arguments: Sequence[str], engine: Engine) -> None:
    """Serve the sockets whose descriptors are named until the daemon has gone, or ends this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the daemon ends this process: it may still have mails to send
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends a rendering that takes too long
    os.nice(_NICENESS)
    gc.freeze()  # or a child's first collection would copy everything it shares
    parent = _Parent(engine, [int(each) for each in arguments])
    signal.signal(END, parent.end)
    parent.run()


def _exit(code: int) -> NoReturn:
    os._exit(code)  # a child must not run the exit handlers of the first process


def _served(engine: Engine, socket: int) -> int:
    """Answer requests; return how the process is to exit."""
    _limit_memory()
    largest = _resident() + SPARE_BYTES
    while (request := _received(socket)) is not None:
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_S)
        reply = _reply(engine, request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            _send(socket, reply)
        except OSError:
            return GONE
        del request, reply
        if _resident() > largest:
            return GROWN
    return GONE


def _reply(engine: Engine, request: bytes) -> bytes:
    try:
        return answer(TEXTS, engine.render(decoded(request)))
    except RenderingFailed as error:
        return answer(PROBLEM, str(error))
    except MemoryError:
        return answer(PROBLEM, f"memory limit of {MEMORY_BYTES:,} bytes passed")


def _limit_memory() -> None:
    used = _pages(0)
    if used:
        most = used * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _resident() -> int:
    return _pages(1) * resource.getpagesize()


def _pages(column: int) -> int:
    """Return the pages of memory of this process (column 0), or those in use (column 1); 0 if that is unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[column])
    except OSError:
        return 0


def _received(socket: int) -> bytes | None:
    """Return the next document, None when the daemon has gone."""
    head = _read(socket, HEAD_BYTES)
    return None if head is None else _read(socket, length_of(head))


def _read(socket: int, length: int) -> bytes | None:
    parts: list[bytes] = []
    while length:
        try:
            part = os.read(socket, length)
        except OSError:
            return None
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _send(socket: int, data: bytes) -> None:
    while data:
        data = data[os.write(socket, data) :]


if __name__ == "__main__":
    main(sys.argv[1:], Engine())
