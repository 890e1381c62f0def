"""The commands of pages: switch a workflow, retry, cancel or resolve an execution, acknowledge a gap.

Each is a form that leads back to its page, so it works without scripts too; htmx sends the same form and replaces only
the parts of the page that changed.
"""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from config.found import found
from daemon.admin.administration import Administration
from daemon.admin.problem import Malformed
from daemon.api.dashboard.form import form_of, way_back
from daemon.api.dashboard.page import Pages
from daemon.api.dashboard.page_route import page_route
from daemon.executions.command import Do
from daemon.executions.status import StepStatus
from rules.tree import is_node
from rules.workflow import WorkflowStatus


def command_router(administration: Administration, pages: Pages) -> APIRouter:
    """Return the routes that change something; each redirects to the page it came from."""
    router = APIRouter(prefix="/dashboard", include_in_schema=False, route_class=page_route(pages))

    @router.post("/workflow")
    async def switch(request: Request) -> Response:
        form = await form_of(request)
        await administration.workflows.switch(
            _given(form, "which"), WorkflowStatus(_one_of(form, "status", list(WorkflowStatus)))
        )
        return _back(form)

    @router.post("/execution")
    async def command(request: Request) -> Response:
        form = await form_of(request)
        do = Do(_one_of(form, "do", list(Do)))
        outcome, node = None, None
        if do is Do.RESOLVE:
            outcome = StepStatus(_one_of(form, "as", [StepStatus.SUCCESS, StepStatus.FAILED]))
            node = _node(form, "step")
        await administration.executions.command(_given(form, "which"), do, outcome, node)
        return _back(form)

    @router.post("/gap")
    async def acknowledge(request: Request) -> Response:
        form = await form_of(request)
        await administration.overview.acknowledge(_given(form, "which"))
        return _back(form)

    return router


def _back(form: dict[str, str]) -> Response:
    return RedirectResponse(way_back(form), HTTPStatus.SEE_OTHER)


def _given(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise Malformed(name, "expected a text, found nothing")
    return form[name]


def _one_of(form: dict[str, str], name: str, known: list[WorkflowStatus] | list[Do] | list[StepStatus]) -> str:
    value = form.get(name, "")
    if value not in known:
        raise Malformed(name, f"expected one of {', '.join(known)}, found {found(value)}")
    return value


def _node(form: dict[str, str], name: str) -> str:
    given = form.get(name, "")
    if not is_node(given):
        raise Malformed(name, f"expected the number of a step, or its node, found {found(given)}")
    return given
