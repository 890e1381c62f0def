"""Render pages: templates with every value escaped. ``daemon.api.envelope`` limits which scripts a browser runs."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChainableUndefined, Environment, FileSystemLoader

from config.api_token import TokenScope
from config.version import product_version
from daemon.admin.identifier import id_text
from daemon.api.dashboard import presentation
from rules.workflow import WorkflowStatus

_TEMPLATES: Final = Path(__file__).parent / "templates"
_FILTERS: Final[tuple[Callable[..., Any], ...]] = (
    id_text,
    presentation.exact,
    presentation.machine,
    presentation.relative,
    presentation.span,
    presentation.as_json,
    presentation.brief,
    presentation.bars,
    presentation.way,
)


class Pages:
    """Turns data into responses. ``now`` tells the server's time."""

    def __init__(self, now: Callable[[], datetime], *, has_login: bool) -> None:
        self._now = now
        self._has_login = has_login
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=ChainableUndefined,  # a document edited by hand may lack anything
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        for shown in _FILTERS:
            self._environment.filters[shown.__name__] = shown
        self._environment.globals |= {"version": product_version(), "statuses": [str(each) for each in WorkflowStatus]}

    def show(self, request: Request, template: str, code: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        """Return a page; its template knows the path, the time, and whether the visitor may change anything."""
        token, path = request.scope.get("token"), request.scope["path"]
        page = self.text(
            template,
            here=path + (f"?{request.url.query}" if request.url.query else ""),
            path=path,
            has_login=self._has_login,
            may_write=not self._has_login or (token is not None and token.scope is TokenScope.WRITE),
            **values,
        )
        return HTMLResponse(page, code)

    def problem(self, request: Request, status: int, detail: str, back: str = "/") -> HTMLResponse:
        """Return the page that says why something was not done, with the way back."""
        return self.show(request, "problem.html", status, title=HTTPStatus(status).phrase, detail=detail, back=back)

    def text(self, template: str, **values: Any) -> str:
        """Return a template filled in."""
        return self._environment.get_template(template).render({"now": self._now(), **values})
