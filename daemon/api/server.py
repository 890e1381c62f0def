"""Serve the HTTP application inside the daemon's event loop, on a socket of our own."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from config.error import ConfigError
from config.settings import Settings
from daemon.api.connection import LARGEST_HEAD, Connection, Connections
from daemon.event import Event
from daemon.poll import is_set_within, until_common
from daemon.service import Background
from daemon.telemetry import emit

_STOP_S: Final = 5.0
_TICK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Served:
    """An application, and the functions that end it."""

    app: ASGIApp
    end_streams: Callable[[], None]  # ends the endless answers
    close: Callable[[], Awaitable[None]]  # closes the connections that answers used


class ApiServer:
    """Listens while it is started. ``address`` is where, None while it does not."""

    def __init__(self, settings: Settings, assemble: Callable[[], Served]) -> None:
        """``assemble`` makes the application at every start that may listen."""
        self._assemble = assemble
        self._settings = settings
        self._served: Served | None = None
        self._server: _Server | None = None
        self._socket: socket.socket | None = None
        self._task = Background("api", self._run)
        self.address: tuple[str, int] | None = None

    @property
    def tasks(self) -> Sequence[Background]:
        """The one that serves."""
        return (self._task,)

    async def start(self) -> None:
        """Return once requests are answered; raise ConfigError where it cannot listen on a configured address.

        The default port was not asked for: where it is taken, the daemon runs without the API and logs that.
        """
        if not self._settings.api_port or self._server is not None:
            return
        try:
            self._socket = _bound(self._settings.api_host, self._settings.api_port)
        except OSError as error:
            address = f"{self._settings.api_host}:{self._settings.api_port}"
            if self._settings.model_fields_set & {"api_host", "api_port"}:
                raise ConfigError(f"api_host, api_port: cannot listen on {address}: {error.strerror}") from error
            emit(Event.API_UNAVAILABLE, address=address, error=error)
            return
        self._served = self._assemble()
        config = uvicorn.Config(
            self._served.app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http=cast(type[asyncio.Protocol], partial(Connection, Connections())),
            h11_max_incomplete_event_size=LARGEST_HEAD,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=int(_STOP_S) - 1,
        )
        self._server = _Server(config)
        await self._task.start()
        await self._server.listens.wait()
        host, port = self._socket.getsockname()[:2]
        self.address = (host, port)
        emit(Event.API_STARTED, address=f"{host}:{port}")

    async def stop(self) -> None:
        """Answer the requests at work, then close."""
        server, self._server = self._server, None
        served, self._served = self._served, None
        self.address = None
        if server is not None and served is not None:
            served.end_streams()
            server.end()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.closed.wait(), _STOP_S)
            await self._task.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if served is not None:
            await served.close()

    async def _run(self) -> None:
        assert self._server is not None
        assert self._socket is not None
        server = self._server
        await server.serve([self._socket])
        if server is not self._server:  # it was told to stop: wait to be cancelled, as every service is
            server.closed.set()
            await asyncio.Event().wait()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()
        self.closed = asyncio.Event()
        self._is_ending = asyncio.Event()

    def end(self) -> None:
        """Let ``serve`` answer the requests at work, then return."""
        self.should_exit = True
        self._is_ending.set()

    async def main_loop(self) -> None:
        """Renew the header with the time once a second; uvicorn's own loop wakes ten times as often."""
        while not await self.on_tick(0):
            await is_set_within(self._is_ending, until_common(_TICK_S, time.monotonic()))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when requests are answered."""
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the daemon, which stops everything in order."""
        yield


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
