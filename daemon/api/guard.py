"""Who may do what over HTTP: bearer tokens in constant time, and no request that a foreign page had a browser send.

Every request passes here before its body is read. Without any token the API is on loopback only (the settings see to
that), and then the Host must be a loopback name too: a foreign name that resolves to us is somebody else's page.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.api_token import ApiToken, hash_of
from config.api_token import Scope as TokenScope
from daemon.api.problem import problem
from daemon.event import Event
from daemon.telemetry import emit

_FOREIGN: Final = frozenset({"cross-site", "same-site"})  # same-site: another port of this host, or a sister domain
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NOBODY: Final = "nobody"  # the name of who comes without a token where none is needed
_READ_ONLY: Final = (
    "/validate",
    "/dry-run",
    "/backtest",
    "/logout",
)  # what changes nothing although it is asked by POST


class Visitors(Protocol):
    """Knows the pages that people look at in a browser, where a cookie stands for a token."""

    def is_page(self, path: str) -> bool:
        """Return whether a path is a page: the cookie counts there, and nowhere else."""

    def is_open(self, path: str) -> bool:
        """Return whether a path is open to everybody: the way in."""

    async def token_of(self, request: Request) -> ApiToken | None:
        """Return the token that the cookie of a request stands for."""

    def turn_away(self, request: Request, status: int, detail: str) -> Response:
        """Return what a browser is shown instead of a problem."""


class Guard:
    """ASGI middleware that lets a request through or answers it; ``scope["token"]`` is whose it is, if anybody's."""

    def __init__(
        self, app: ASGIApp, tokens: Sequence[ApiToken], open_paths: Collection[str], visitors: Visitors
    ) -> None:
        """``open_paths`` need no token: what probes ask for."""
        self._visitors = visitors
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
        token = await self._whose(request)
        scope["token"] = token
        refusal = self._foreign(request) or self._judge(request.url.path, token, is_change)
        if refusal is not None:
            await self._refused(request, *refusal)(scope, receive, send)
            return
        name = token.name if token is not None else _NOBODY
        await self._app(scope, receive, _audited(send, request, name) if is_change else send)

    async def _whose(self, request: Request) -> ApiToken | None:
        if not self._tokens:
            return None
        if self._visitors.is_page(request.url.path):
            return await self._visitors.token_of(request)
        return self._bearer(request.headers)

    def _bearer(self, headers: Mapping[str, str]) -> ApiToken | None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        return self._token(given.strip() if kind.lower() == "bearer" else "")

    def _judge(self, path: str, token: ApiToken | None, is_change: bool) -> tuple[int, str] | None:
        """Return the status and words of a refusal, or None."""
        if not self._tokens or path in self._open_paths or self._visitors.is_open(path):
            return None
        if token is None:
            return HTTPStatus.UNAUTHORIZED, "expected a valid bearer token"
        if is_change and token.scope is not TokenScope.WRITE:
            return HTTPStatus.FORBIDDEN, f"token '{token.name}' may only read"
        return None

    def _refused(self, request: Request, status: int, detail: str) -> Response:
        path, is_asked_for = request.url.path, status == HTTPStatus.UNAUTHORIZED
        if not (is_asked_for and self._visitors.is_page(path)):  # who has not logged in yet is no news
            client = request.client.host if request.client is not None else ""
            emit(Event.API_REFUSED, client=client, path=path, status_code=status)
        if self._visitors.is_page(path):
            return self._visitors.turn_away(request, status, detail)
        return problem(status, detail, headers={"WWW-Authenticate": "Bearer"} if is_asked_for else {})

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
        if request.method not in _SAFE and self._is_from_elsewhere(request):
            return HTTPStatus.FORBIDDEN, "expected no request from another site's page"
        return None

    def _is_from_elsewhere(self, request: Request) -> bool:
        """Return whether a page of another origin sent a request; where a cookie counts, ours has to be named."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if origin is None:
            is_by_cookie = bool(self._tokens) and self._visitors.is_page(request.url.path)
            return site in _FOREIGN or (is_by_cookie and site != "same-origin")
        return site in _FOREIGN or _place_of(origin) != request.headers.get("host", "").lower()


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _place_of(origin: str) -> str:
    """Return host and port as a browser writes them into the Host header too."""
    try:
        return urlsplit(origin).netloc.lower()
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
