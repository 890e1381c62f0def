"""Who may do what over HTTP: bearer tokens in constant time, and no request that a foreign page had a browser send.

Every request passes here before its body is read. Without any token the API is on loopback only (the settings see to
that), and then the Host must be a loopback name too: a foreign name that resolves to us is somebody else's page.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.api_token import ApiToken, hash_of
from config.api_token import Scope as TokenScope
from daemon.api.problem import problem
from daemon.event import Event
from daemon.telemetry import emit

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NOBODY: Final = "nobody"  # the name of who comes without a token where none is needed
_READ_ONLY: Final = ("/validate", "/dry-run", "/backtest")  # what changes nothing although it is asked by POST


class Guard:
    """ASGI middleware that lets a request through or answers it."""

    def __init__(self, app: ASGIApp, tokens: Sequence[ApiToken], open_paths: Collection[str]) -> None:
        """``open_paths`` need no token: what probes ask for."""
        self._app = app
        self._tokens = tuple(tokens)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        is_change = request.method not in _SAFE and not request.url.path.endswith(_READ_ONLY)
        refusal = self._foreign(request)
        name = _NOBODY
        if refusal is None and request.url.path not in self._open_paths:
            refusal, name = self._judge(request.headers, is_change)
        if refusal is not None:
            client = scope["client"][0] if scope.get("client") else ""
            emit(Event.API_REFUSED, client=client, path=request.url.path, status_code=refusal[0])
            headers = {"WWW-Authenticate": "Bearer"} if refusal[0] == HTTPStatus.UNAUTHORIZED else {}
            await problem(*refusal, headers=headers)(scope, receive, send)
            return
        await self._app(scope, receive, _audited(send, request, name) if is_change else send)

    def _judge(self, headers: Mapping[str, str], is_change: bool) -> tuple[tuple[int, str] | None, str]:
        """Return the status and words of a refusal, or None, and who asks."""
        if not self._tokens:
            return None, _NOBODY
        kind, _, given = headers.get("authorization", "").partition(" ")
        token = self._token(given.strip() if kind.lower() == "bearer" else "")
        if token is None:
            return (HTTPStatus.UNAUTHORIZED, "expected a valid bearer token"), _NOBODY
        if is_change and token.scope is not TokenScope.WRITE:
            return (HTTPStatus.FORBIDDEN, f"token '{token.name}' may only read"), token.name
        return None, token.name

    def _token(self, given: str) -> ApiToken | None:
        """Return the token of these characters. All are compared, so that time tells nothing."""
        digest = hash_of(given)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def _foreign(self, request: Request) -> tuple[int, str] | None:
        host = _host_of(f"//{request.headers.get('host', '')}")
        if not self._tokens and host not in _LOOPBACK:
            return HTTPStatus.FORBIDDEN, "expected a loopback Host, because no token is set"
        origin = request.headers.get("origin")
        is_cross_site = request.headers.get("sec-fetch-site") == "cross-site" and request.method not in _SAFE
        if is_cross_site or (origin is not None and request.method not in _SAFE and _host_of(origin) != host):
            return HTTPStatus.FORBIDDEN, "expected no request from another site's page"
        return None


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _audited(send: Send, request: Request, name: str) -> Any:
    """Return ``send`` that logs who asked for a change and how it ended."""

    async def audited(message: Message) -> None:
        if message["type"] == "http.response.start":
            emit(
                Event.API_CHANGED,
                token=name,
                method=request.method,
                path=request.url.path,
                status_code=message["status"],
            )
        await send(message)

    return audited
