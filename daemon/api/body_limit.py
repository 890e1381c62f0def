"""No body larger than a workflow may be: refused by its announced length, else as soon as it has grown too long."""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.api.problem import problem

LARGEST: Final = 1024 * 1024  # bytes; a workflow has at most 256 KB


class BodyLimit:
    """ASGI middleware that reads the body, up to a limit, before the application runs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 15 or int(announced) > LARGEST:
            await _refuse(scope, receive, send)
            return
        body, is_whole = await _read(receive)
        if not is_whole:
            await _refuse(scope, receive, send)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


async def _read(receive: Receive) -> tuple[bytes, bool]:
    """Return the body, and whether that is all of it."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body), True
        body += message.get("body", b"")
        if len(body) > LARGEST:
            return b"", False
        if not message.get("more_body"):
            return bytes(body), True


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    detail = f"expected a body of at most {LARGEST} bytes"
    await problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers={"Connection": "close"})(scope, receive, send)
