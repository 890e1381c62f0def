"""Errors over HTTP: problem details (RFC 9457) that name the field, and which error is which status."""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException

from config.error import ConfigError, WorkflowError
from config.found import found
from daemon.admin.problem import Busy, Changed, Conflict, Malformed, NotFound
from daemon.event import Event
from daemon.executions.command import CommandRefused
from daemon.mongo.failure import is_transient
from daemon.telemetry import emit
from rules.validation import joined

CONTENT_TYPE: Final = "application/problem+json"
OURS: Final = "the request failed for a reason that is ours; see the log"
NO_ANSWER: Final = "MongoDB does not answer, or not within the time that a request has"
_OF_ADMIN: Final[Mapping[type[Exception], HTTPStatus]] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    CommandRefused: HTTPStatus.CONFLICT,
    Changed: HTTPStatus.PRECONDITION_FAILED,
    ConfigError: HTTPStatus.CONFLICT,
}


def problem(
    status: int,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return ``{type, title, status, detail, errors?: [{field, problem}]}`` as a response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=CONTENT_TYPE)


def handle_errors(app: FastAPI) -> None:
    """Let ``app`` answer every error as a problem."""
    for error, status in _OF_ADMIN.items():
        app.add_exception_handler(error, _answering(status))
    app.add_exception_handler(Malformed, _malformed)
    app.add_exception_handler(Busy, _busy)
    app.add_exception_handler(WorkflowError, _invalid_workflow)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(PyMongoError, _store)
    app.add_exception_handler(Exception, _unexpected)


def status_and_words(request: Request, error: Exception) -> tuple[HTTPStatus, str]:
    """Return the status and text of an error for a page; errors of ours go to the log."""
    if isinstance(error, RequestValidationError):
        return HTTPStatus.BAD_REQUEST, "; ".join(
            f"{_place(each['loc'])}: {each['msg']}" for each in error.errors()[:20]
        )
    if isinstance(error, Malformed):
        return HTTPStatus.BAD_REQUEST, str(error)
    if isinstance(error, WorkflowError):
        return HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
    for known, status in _OF_ADMIN.items():
        if isinstance(error, known):
            return status, str(error)
    if is_transient(error):
        emit(Event.STORE_UNAVAILABLE, during="a request over HTTP", error=error)
        return HTTPStatus.SERVICE_UNAVAILABLE, NO_ANSWER
    emit(Event.API_FAILED, path=request.scope["path"], error=error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, OURS


def _answering(status: HTTPStatus) -> Any:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        return problem(status, str(error))

    return answer


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Malformed)
    return problem(HTTPStatus.BAD_REQUEST, str(error), [{"field": error.path, "problem": error.problem}])


async def _busy(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Busy)
    return problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), headers={"Retry-After": str(error.retry_after_s)})


async def _invalid_workflow(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, WorkflowError)
    wrong = [{"field": error.path, "problem": error.problem}]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), wrong)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "")
    if any(each["loc"] == ("body",) and each["type"] != "missing" for each in error.errors()) and "json" not in kind:
        words = f"expected application/json, found {found(kind) if kind else 'nothing'}"
        wrong = [{"field": "header.content-type", "problem": words}]
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"header.content-type: {words}", wrong)
    wrong = [_field_problem(each) for each in error.errors()[:20]]
    return problem(HTTPStatus.BAD_REQUEST, "; ".join(f"{each['field']}: {each['problem']}" for each in wrong), wrong)


def _field_problem(wrong: Mapping[str, Any]) -> dict[str, str]:
    if wrong["type"] == "json_invalid":
        where = f"{wrong['ctx']['error']} at character {wrong['loc'][-1]}"
        return {"field": "body", "problem": f"expected JSON: {where}"}
    return {"field": _place(wrong["loc"]), "problem": str(wrong["msg"])}


def _place(location: Sequence[int | str]) -> str:
    """Return where a wrong value stands: ``query.limit``, ``body.entity_id``."""
    return joined("", *location)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Malformed):  # the reader of the body raised it, and the framework replaced it
        return await _malformed(request, error.__cause__)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # the framework's word for a body that no parser can read
        words = "expected JSON in UTF-8, not nested too deeply"
        return problem(HTTPStatus.BAD_REQUEST, f"body: {words}", [{"field": "body", "problem": words}])
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(sorted(_allowed(request)))}
    return problem(error.status_code, str(error.detail), headers=headers)


def _allowed(request: Request) -> set[str]:
    """Return the methods of all routes of this path; the framework names those of the first only."""
    paths: dict[str, set[str]] = {}
    for route in routes_of(request.app.router):
        if route.path_regex.match(request.scope["path"]):
            paths.setdefault(route.path, set()).update(route.methods or ())
    methods = paths.get(request.scope["path"]) or set().union(*paths.values()) or {"GET"}  # no route of ours: a file
    return methods | {"HEAD"} if "GET" in methods else methods


def routes_of(router: APIRouter) -> Iterator[APIRoute]:
    """Yield all routes; the framework keeps those of a router that was included inside that router."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif isinstance(inner := getattr(route, "original_router", None), APIRouter):
            yield from routes_of(inner)


async def _store(request: Request, error: Exception) -> JSONResponse:
    if not is_transient(error):
        return await _unexpected(request, error)
    emit(Event.STORE_UNAVAILABLE, during="a request over HTTP", error=error)
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, NO_ANSWER, headers={"Retry-After": "2"})


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    emit(Event.API_FAILED, path=request.scope["path"], error=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, OURS)
