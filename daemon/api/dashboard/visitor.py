"""Visitors of the dashboard: which paths are pages, the token of a cookie, login and logout."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pymongo.errors import PyMongoError

from config.api_token import ApiToken
from daemon.api.dashboard.form import form_of
from daemon.api.dashboard.page import Pages
from daemon.api.dashboard.page_route import page_route
from daemon.api.guard import RETRY_AFTER, client_of
from daemon.api.session import COOKIE, LASTS_S, Sessions
from daemon.api.wrong_token import WrongTokens
from daemon.event import Event
from daemon.telemetry import emit

HOME: Final = "/"
PREFIX: Final = "/dashboard/"
LOGIN: Final = "/dashboard/login"
STATIC: Final = "/static/"


class Visitors:
    """Answers the guard's questions about requests for pages."""

    def __init__(self, sessions: Sessions, pages: Pages) -> None:
        self._sessions = sessions
        self._pages = pages

    def is_page(self, path: str) -> bool:
        """Return whether a path is one of the dashboard's, where a cookie counts."""
        return path == HOME or path.startswith(PREFIX)

    def is_open(self, path: str) -> bool:
        """Return whether a path needs no login: the login page and its files."""
        return path == LOGIN or path.startswith(STATIC)

    async def token_of(self, request: Request) -> ApiToken | None:
        """Return the token that the cookie of a request stands for, None while MongoDB does not answer."""
        try:
            return await self._sessions.token_of(request.cookies.get(COOKIE, ""))
        except PyMongoError as error:
            emit(Event.STORE_UNAVAILABLE, during="check of a cookie", error=error)
            return None

    def turn_away(self, request: Request, status: int, detail: str) -> Response:
        """Return a redirect to the login page, or a page with the reason why the visitor may not do this."""
        if status != HTTPStatus.UNAUTHORIZED:
            return self._pages.problem(request, status, detail)
        if request.headers.get("hx-request"):
            return Response(status_code=status, headers={"HX-Redirect": LOGIN})
        return RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)


def login_router(sessions: Sessions, pages: Pages, wrong_tokens: WrongTokens) -> APIRouter:
    """Return the routes of login and logout; ``wrong_tokens`` delays the answers to them."""
    router = APIRouter(include_in_schema=False, route_class=page_route(pages))

    @router.get(LOGIN)
    async def ask(request: Request) -> Response:
        if not sessions.are_needed:
            return RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
        return pages.show(request, "login.html")

    @router.post(LOGIN)
    async def log_in(request: Request) -> Response:
        cookie = await sessions.open((await form_of(request)).get("token", "").strip())
        if cookie is None:
            client = client_of(request)
            may_try = await wrong_tokens.wait(client)
            status = HTTPStatus.UNAUTHORIZED if may_try else HTTPStatus.TOO_MANY_REQUESTS
            emit(Event.API_REFUSED, client=client, path=LOGIN, status_code=int(status))
            page = pages.show(request, "login.html", status, is_wrong=may_try, are_too_many=not may_try)
            if not may_try:
                page.headers["Retry-After"] = RETRY_AFTER
            return page
        response = RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
        is_secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie, LASTS_S, httponly=True, samesite="strict", secure=is_secure)
        return response

    @router.post("/dashboard/logout")
    async def log_out(request: Request) -> Response:
        await sessions.close(request.cookies.get(COOKIE, ""))
        response = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return router
