"""The outermost layer of every answer: the headers that all of them carry, and paths whose parts stay apart.

Every answer passes here, whether the guard, a route, the framework or our error handler made it. The server's answers
to bytes that are no request carry the same headers (``daemon.api.connection``).
"""

from typing import Final
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Pico draws its arrows and ticks as data: images; nothing else comes from anywhere but here.
POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send forms with the Origin "null"
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Envelope:
    """ASGI application around the whole of another."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app({**scope, "path": _path(scope)}, receive, with_headers)


def _path(scope: Scope) -> str:
    """Return the path with ``/`` and ``%`` within its parts still encoded: an id may hold them. See ``path_text``."""
    raw: bytes = scope.get("raw_path") or b""
    path: str = scope["path"]
    if b"%" not in raw:
        return path
    parts = (unquote(part) for part in raw.decode("ascii", "replace").split("/"))
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def path_text(part: str) -> str:
    """Return a part of the path, as a route matched it, decoded."""
    return unquote(part)
