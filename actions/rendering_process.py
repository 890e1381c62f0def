"""The daemon's side of the rendering process: starts it, asks it, and ends it.

The process gets only the paths of Python's packages as environment, one socket for each of its children as file
descriptors, and a session of its own, so that signals which a terminal or a service manager sends to the process group
reach only the daemon.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any, Final

import bson

from actions.rendering_frame import END, HEAD_BYTES, framed, length_of
from actions.rendering_limit import ANSWER_BYTES

WORKER: Final = "actions.rendering_worker"
_END_S: Final = 5.0  # until a process that does not end is killed
CHILDREN: Final = 2  # while one renders for long, the other serves the rest


class ProcessEnded(Exception):
    """The rendering process is gone, or its answer makes no sense."""


class RenderingProcess:
    """One process with its children; it ends when this object is ended or collected, and when the daemon ends."""

    def __init__(self, module: str = WORKER) -> None:
        """Start the process, which runs ``module``; raise OSError if the system allows no other one."""
        pairs = [socket.socketpair() for _ in range(CHILDREN)]
        self._sockets = [ours for ours, _ in pairs]
        theirs = [their for _, their in pairs]
        for ours in self._sockets:
            ours.setblocking(False)
        try:
            self._process = _spawned(module, [each.fileno() for each in theirs])
        except OSError:
            _close(self._sockets)
            raise
        finally:
            _close(theirs)
        weakref.finalize(self, _end, self._process, self._sockets)

    async def ask(self, child: int, request: bytes) -> dict[str, Any]:
        """Return what a child answers; raise ProcessEnded if it can no longer."""
        loop, ours = asyncio.get_running_loop(), self._sockets[child]
        try:
            await loop.sock_sendall(ours, framed(request))
            length = length_of(await _received(ours, HEAD_BYTES))
            if length > ANSWER_BYTES:
                raise ProcessEnded(f"an answer of {length:,} bytes")
            return bson.decode(await _received(ours, length))
        except (OSError, bson.errors.BSONError) as error:
            raise ProcessEnded(type(error).__name__) from error

    async def close(self) -> None:
        """Return when the process is gone; pending calls of ``ask`` raise ProcessEnded."""
        for ours in self._sockets:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)  # closing waits until no task uses them
        await asyncio.to_thread(_ended, self._process)
        _close(self._sockets)


async def _received(ours: socket.socket, length: int) -> bytes:
    loop, data = asyncio.get_running_loop(), bytearray()
    while len(data) < length:
        part = await loop.sock_recv(ours, length - len(data))
        if not part:
            raise ProcessEnded("no answer")
        data += part
    return bytes(data)


def _spawned(module: str, descriptors: list[int]) -> subprocess.Popen[bytes]:
    packages = os.pathsep.join(path for path in sys.path if Path(path).is_absolute())
    options = ["-s", "-P", "-B", "-W", "ignore", "-X", "utf8"]
    return subprocess.Popen(
        [sys.executable, *options, "-m", module, *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # its answers carry its errors
        env={"PYTHONPATH": packages, "TZ": "UTC"},
        cwd="/",
        pass_fds=descriptors,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes], sockets: list[socket.socket]) -> None:
    _close(sockets)
    _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Return when the process is gone. The process ends its children itself, so that they do not become zombies."""
    process.send_signal(END)  # a rendering has no effects: there is nothing to wait for
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
