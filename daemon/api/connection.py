"""Limit HTTP connections: how many at once, and how long a request may take to arrive and an answer to be fetched.

The daemon needs file descriptors for MongoDB, mail and webhooks, so there are far fewer connections than descriptors.
When a new connection finds no room, one without a request at work is closed. The limits of time count from first to
last byte, however slowly the bytes come.
"""

import asyncio
import resource
from http import HTTPStatus
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from daemon.api.envelope import HEADERS

MOST: Final = 200
ARRIVAL_S: Final = 15.0  # from its first byte, or the end of the one before, until a request is there with its body
FETCHING_S: Final = 30.0  # for a client to fetch an answer that does not fit the buffers
LARGEST_HEAD: Final = 64 * 1024  # bytes
_CLOSING_S: Final = 5.0


class Connections:
    """The open connections, in the order in which they would be closed for a new one."""

    def __init__(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = MOST if soft < 0 else max(min(MOST, soft // 4), 8)
        self._open: dict[Connection, None] = {}

    def add(self, connection: "Connection") -> bool:
        """Add a new one; return False where there is no room for it."""
        if len(self._open) >= self.most:
            idle = next((each for each in self._open if not each.is_at_work), None)
            if idle is None:
                return False
            self.remove(idle)
            idle.transport.abort()
        self._open[connection] = None
        return True

    def remove(self, connection: "Connection") -> None:
        """Forget one that is closed."""
        self._open.pop(connection, None)

    def note_use(self, connection: "Connection") -> None:
        """Note that one has just served a request."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None


class Connection(H11Protocol):
    """The server's connection, with deadlines."""

    def __init__(
        self,
        connections: Connections,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        **more: Any,
    ) -> None:
        super().__init__(config, server_state, app_state, **more)
        self._among = connections
        self._arrival: asyncio.TimerHandle | None = None
        self._fetching: asyncio.TimerHandle | None = None
        self._has_begun = False  # bytes of the next request have come

    @property
    def is_at_work(self) -> bool:
        """Whether a whole request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # there is none before the first request
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    # uvicorn too takes a narrower transport than asyncio.Protocol promises.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection, or close it where there are too many."""
        super().connection_made(transport)
        if not self._among.add(self):
            transport.abort()
            return
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._among.remove(self)
        for timer in (self._arrival, self._fetching):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if not self.transport.is_closing():
            self._has_begun = True
            super().data_received(data)
            self._look()

    def on_response_complete(self) -> None:
        """Expect the next request."""
        self._has_begun = False
        super().on_response_complete()
        self._among.note_use(self)
        self._look()

    def pause_writing(self) -> None:
        """Wait for the client to fetch what is there, for a while."""
        super().pause_writing()
        if self._fetching is None:
            self._fetching = self.loop.call_later(FETCHING_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._see_closed()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no request."""
        self._say(HTTPStatus.BAD_REQUEST, msg)

    def _look(self) -> None:
        """Start the timer of a request that has not arrived as a whole; stop it once it has."""
        if self.transport.is_closing() or self.is_at_work:
            if self._arrival is not None:
                self._arrival.cancel()
                self._arrival = None
        elif self._arrival is None:
            self._arrival = self.loop.call_later(ARRIVAL_S, self._late)

    def _late(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        is_between = cycle is None or cycle.response_complete
        if is_between and self._has_begun:
            self._say(HTTPStatus.REQUEST_TIMEOUT, f"expected a whole request within {ARRIVAL_S:g} s")
        else:
            self.transport.abort()

    def _say(self, status: HTTPStatus, words: str) -> None:
        """Answer instead of the application, and close."""
        if self.transport.is_closing():
            return
        lines = [f"HTTP/1.1 {int(status)} {status.phrase}", *(f"{name}: {value}" for name, value in HEADERS.items())]
        lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(words)}", "Connection: close"]
        self.transport.write("\r\n".join((*lines, "", words)).encode())
        self.transport.close()
        self._see_closed()

    def _see_closed(self) -> None:
        """Abort the connection after a while: a client that fetches nothing would keep even a closed one."""
        self.loop.call_later(_CLOSING_S, self.transport.abort)
