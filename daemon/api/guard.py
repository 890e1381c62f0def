"""Check every request: its token, compared in constant time, and that no foreign page had a browser send it.

Every request passes here before its body is read. Without any token the API listens on loopback only (the settings
ensure that); then the Host must be a loopback name too, and pages of other sites may not even read.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.api_token import ApiToken, TokenScope, hash_of
from daemon.api.host import host_of, is_from_another_site, is_loopback
from daemon.api.problem import problem
from daemon.api.wrong_token import WrongTokens
from daemon.event import Event
from daemon.telemetry import emit

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
READ_ONLY_ROUTES: Final = (  # of the method POST: they change nothing
    "/workflows/validate",
    "/workflows/{workflow_id}/dry-run",
    "/workflows/{workflow_id}/backtest",
    "/dashboard/logout",
)
_READ_ONLY: Final = tuple(compile_path(route)[0] for route in READ_ONLY_ROUTES)
TOO_MANY: Final = (HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens were sent: try again later")
RETRY_AFTER: Final = "5"  # seconds
_NOBODY: Final = "nobody"  # the name in the audit log where no token is needed


class Visitors(Protocol):
    """The pages of the dashboard, where a cookie stands for a token."""

    def is_page(self, path: str) -> bool:
        """Return whether a path is a page: only there the cookie counts."""

    def is_open(self, path: str) -> bool:
        """Return whether a path needs no login: the login page and its files."""

    async def token_of(self, request: Request) -> ApiToken | None:
        """Return the token that the cookie of a request stands for."""

    def turn_away(self, request: Request, status: int, detail: str) -> Response:
        """Return the page that a browser shows instead of a problem."""


class Guard:
    """ASGI middleware that lets a request through or answers it; ``scope["token"]`` is its token, None without one."""

    def __init__(
        self,
        app: ASGIApp,
        tokens: Sequence[ApiToken],
        open_paths: Collection[str],
        visitors: Visitors,
        wrong_tokens: WrongTokens,
    ) -> None:
        """``open_paths``, those of probes, need no token. ``wrong_tokens`` delays the answers to them."""
        self._visitors = visitors
        self._wrong_tokens = wrong_tokens
        self._app = app
        self._tokens = tuple(tokens)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        path, is_change = scope["path"], changes_something(scope["method"], scope["path"])
        scope["is_change"] = is_change
        refusal, token = self._foreign(request), None
        if refusal is None:
            token = scope["token"] = await self._whose(request)
            refusal = self._judge(path, token, is_change)
        if refusal is not None:
            is_guess = refusal[0] == HTTPStatus.UNAUTHORIZED and not self._visitors.is_page(path) and _given(request)
            if is_guess and not await self._wrong_tokens.wait(client_of(request)):
                refusal = TOO_MANY
            await self._refused(request, *refusal)(scope, receive, send)
            return
        name = token.name if token is not None else _NOBODY
        await self._app(scope, receive, _audited(send, request, name) if is_change else send)

    async def _whose(self, request: Request) -> ApiToken | None:
        if not self._tokens:
            return None
        if self._visitors.is_page(request.scope["path"]):
            return await self._visitors.token_of(request)
        return self._bearer(request.headers)

    def _bearer(self, headers: Mapping[str, str]) -> ApiToken | None:
        return self._token(_given_in(headers))

    def _judge(self, path: str, token: ApiToken | None, is_change: bool) -> tuple[int, str] | None:
        """Return the status and text of a refusal, or None."""
        if not self._tokens or path in self._open_paths or self._visitors.is_open(path):
            return None
        if token is None:
            return HTTPStatus.UNAUTHORIZED, "expected a valid bearer token"
        if is_change and token.scope is not TokenScope.WRITE:
            return HTTPStatus.FORBIDDEN, f"token '{token.name}' may only read"
        return None

    def _refused(self, request: Request, status: int, detail: str) -> Response:
        path, is_asked_for = request.scope["path"], status == HTTPStatus.UNAUTHORIZED
        if not (is_asked_for and self._visitors.is_page(path)):  # a visitor without a login is no refusal to log
            emit(Event.API_REFUSED, client=client_of(request), path=path, status_code=status)
        if self._visitors.is_page(path):
            return self._visitors.turn_away(request, status, detail)
        headers = {"WWW-Authenticate": "Bearer"} if is_asked_for else {}
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            headers["Retry-After"] = RETRY_AFTER
        return problem(status, detail, headers=headers)

    def _token(self, given: str) -> ApiToken | None:
        """Return the token with these characters. All tokens are compared, so that the time taken reveals nothing."""
        digest = hash_of(given)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def _foreign(self, request: Request) -> tuple[int, str] | None:
        host, is_open = host_of(request), not self._tokens
        if is_open and not is_loopback(host):
            return HTTPStatus.FORBIDDEN, "expected a loopback Host, because no token is set"
        if host is None and (request.headers.getlist("host") or request.scope.get("http_version") != "1.0"):
            return HTTPStatus.BAD_REQUEST, "expected one Host header: a name or address, and at most a port"
        is_change, is_by_cookie = (
            request.method not in SAFE,
            not is_open and self._visitors.is_page(request.scope["path"]),
        )
        if (is_change or is_open) and is_from_another_site(request, is_ours_proven=is_change and is_by_cookie):
            return HTTPStatus.FORBIDDEN, "expected no request from another site's page"
        return None


def changes_something(method: str, path: str) -> bool:
    """Return whether a request is for a route that changes something, and so needs a token that may write."""
    is_read_only = method == "POST" and any(route.match(path) for route in _READ_ONLY)
    return method not in SAFE and not is_read_only


def client_of(request: Request) -> str:
    """Return the address that a request comes from."""
    return request.client.host if request.client is not None else ""


def _given(request: Request) -> bool:
    return bool(_given_in(request.headers))


def _given_in(headers: Mapping[str, str]) -> str:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else ""


def _audited(send: Send, request: Request, name: str) -> Any:
    """Return ``send`` that logs who asked for a change and how it ended."""

    async def audited(message: Message) -> None:
        if message["type"] == "http.response.start":
            emit(
                Event.API_CHANGED,
                token=name,
                method=request.method,
                path=request.scope["path"],
                status_code=message["status"],
            )
        await send(message)

    return audited
