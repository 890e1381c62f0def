"""A TCP proxy on loopback between a client and a server, which can make the network go wrong.

Connections are kept while it does: a black hole swallows bytes in silence, as a cable that was cut does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

_CHUNK: Final = 64 * 1024


class Network(StrEnum):
    """How the network behaves."""

    WELL = "well"
    BLACK_HOLE = "black hole"  # nothing passes, either way; connecting works
    HALF_OPEN = "half open"  # requests pass, answers do not


class TcpProxy:
    """Forwards to a port of loopback as ``network`` says; ``delay_s`` is added to every chunk, each way."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._pairs: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.network = Network.WELL
        self.delay_s = 0.0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        if self._pairs:
            await asyncio.wait(self._pairs)

    def cut(self) -> None:
        """Reset every connection; new ones may be made."""
        for writer in self._writers:
            writer.transport.abort()

    def heal(self) -> None:
        """Let everything pass again. What was swallowed is gone, so the connections of before are reset."""
        self.network = Network.WELL
        self.cut()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        task.add_done_callback(self._pairs.discard)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._forward(reader, server_writer, is_answer=False),
                self._forward(server_reader, writer, is_answer=True),
            )
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while chunk := await source.read(_CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.network is Network.BLACK_HOLE or (self.network is Network.HALF_OPEN and is_answer):
                    continue
                target.write(chunk)
                await target.drain()
        except OSError:
            pass
        target.transport.abort()


@asynccontextmanager
async def running_proxy(target_port: int) -> AsyncIterator[TcpProxy]:
    """Yield a proxy that forwards to a port of loopback."""
    proxy = TcpProxy(target_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
