"""Read the body before the application runs, within limits of size and time; cancel requests of clients that leave.

A body is refused by its announced length, else as soon as it is too long. When a client closes the connection, a
request that only reads is cancelled; one that changes something goes on.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.api.problem import problem
from daemon.service import cancelled

LARGEST: Final = 1024 * 1024  # bytes; a workflow has at most 256 KB
LONGEST_S: Final = 12.0  # for the whole body; the connection's own limit is a little longer, and answers nothing
_CLOSE: Final = {"Connection": "close"}


class BodyLimit:
    """ASGI middleware."""

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
        try:
            async with asyncio.timeout(LONGEST_S):
                body = await _read(receive)
        except TimeoutError:
            words = f"expected the whole body within {LONGEST_S:g} s"
            await problem(HTTPStatus.REQUEST_TIMEOUT, words, headers=_CLOSE)(scope, receive, send)
            return
        except ConnectionError:  # the client closed the connection
            return
        if body is None:
            await _refuse(scope, receive, send)
            return
        await self._answer(scope, receive, send, body)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()
        is_answered = False

        async def replay() -> Message:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def noting(message: Message) -> None:
            nonlocal is_answered
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body")

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            if not is_answered and not scope.get("is_change"):
                answering.cancel()

        answering = asyncio.create_task(self._answered(scope, replay, noting), name="answer")
        watching = asyncio.create_task(watch(), name="client")
        try:
            await asyncio.wait([answering])
        finally:
            is_left = gone.is_set() and answering.cancelled()
            await cancelled(answering, watching)
        if not is_left:
            answering.result()  # or what it raised

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _read(receive: Receive) -> bytes | None:
    """Return the body, None where it is too large; raise ConnectionError if the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client has gone away")
        body += message.get("body", b"")
        if len(body) > LARGEST:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    detail = f"expected a body of at most {LARGEST} bytes"
    await problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers=_CLOSE)(scope, receive, send)
