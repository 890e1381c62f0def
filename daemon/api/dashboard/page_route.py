"""The pages that show workflows, executions, open decisions, operation, and why something did not run."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pymongo.errors import PyMongoError

from config.error import ReflexdError, WorkflowError
from daemon.admin.administration import Administration
from daemon.admin.execution import Filter
from daemon.admin.identifier import LONGEST_ID, id_text
from daemon.admin.json_form import parse_instant
from daemon.admin.plan import plan_of
from daemon.admin.problem import Conflict, NotFound
from daemon.api.dashboard.feed import Feed
from daemon.api.dashboard.page import Pages
from daemon.api.problem import status_and_words
from daemon.executions.status import Status
from rules.workflow import definition_of

LISTED: Final = 30
LISTED_WORKFLOWS: Final = 100
LONGEST_CHOICE: Final = 200
Id = Annotated[str, Query(min_length=1, max_length=LONGEST_ID)]
Text = Annotated[str, Query(max_length=LONGEST_ID)]


def page_route(pages: Pages) -> type[APIRoute]:
    """Return the kind of route that answers errors as pages."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def answer_or_say_why(request: Request) -> Response:
                try:
                    return await answer(request)
                except (ReflexdError, RequestValidationError, PyMongoError) as error:
                    return pages.problem(request, *status_and_words(request, error))

            return answer_or_say_why

    return PageRoute


def page_router(
    administration: Administration,
    pages: Pages,
    feed: Feed,
    reasons: Callable[[], Awaitable[list[str]]],
    lag_s: Callable[[], float | None],
) -> APIRouter:
    """Return the routes; ``reasons`` and ``lag_s`` are those of this process's health."""
    router = APIRouter(include_in_schema=False, route_class=page_route(pages))
    _add_workflows(router, administration, pages)
    _add_executions(router, administration, pages, feed)
    _add_operation(router, administration, pages, reasons, lag_s)

    @router.get("/dashboard/why")
    async def why(
        request: Request, entity_id: Text = "", entity_type: Text = "", workflow_id: Text = "", at: Text = ""
    ) -> Response:
        """Why workflows did not run for an entity; with a workflow, how it stands now, or stood at a past moment."""
        asked: dict[str, Any] = {"entity_id": entity_id, "entity_type": entity_type, "workflow_id": workflow_id}
        asked["at"] = at
        moment = parse_instant(at, "at") if at else None
        summaries, more = await administration.workflows.summaries(LONGEST_CHOICE)
        choices = [{"id": id_text(each["id"]), "name": each["name"]} for each in summaries]
        found: dict[str, Any] = {"summaries": choices, "has_more": more is not None}
        found["entity_types"] = administration.entity_types
        if entity_id:
            kind, workflow = entity_type or None, workflow_id or None
            found["decisions"], _ = await administration.executions.decisions(entity_id, kind, workflow)
            if workflow is not None:
                try:
                    told = await administration.explainer.explain(workflow, entity_id, kind, moment)
                    found["explanation"], asked["workflow_id"] = told, id_text(told["workflow"]["id"])
                except (NotFound, Conflict, WorkflowError) as error:
                    found["not_explained"] = str(error)
        return await asyncio.to_thread(pages.show, request, "why.html", **asked, **found)

    return router


def _add_workflows(router: APIRouter, administration: Administration, pages: Pages) -> None:
    @router.get("/")
    async def workflows(request: Request, after: Text = "") -> Response:
        found, following = await administration.activity.workflows(LISTED_WORKFLOWS, after or None)
        # In a thread: rendering takes longer than the event loop may stand still.
        shown: dict[str, Any] = {"workflows": found, "following": following, "after": after}
        return await asyncio.to_thread(pages.show, request, "workflows.html", **shown)

    @router.get("/dashboard/workflow")
    async def workflow(request: Request, id: Id) -> Response:
        document = await administration.workflows.show(id)
        executions = await administration.executions.newest(document["_id"], LISTED)
        definition = definition_of(document)
        return await asyncio.to_thread(
            pages.show,
            request,
            "workflow.html",
            workflow=document,
            definition=definition,
            plan=plan_of(definition.get("actions")),
            executions=executions,
        )


def _add_executions(router: APIRouter, administration: Administration, pages: Pages, feed: Feed) -> None:
    @router.get("/dashboard/executions")
    async def executions(request: Request, entity_id: Text = "", status: Text = "", before: Text = "") -> Response:
        wanted = Filter(
            entity_id=entity_id or None,
            status=Status(status) if status in list(Status) else None,
            before=before or None,
        )
        items, following = await administration.executions.page(wanted, LISTED)
        return await asyncio.to_thread(
            pages.show,
            request,
            "executions.html",
            executions=items,
            following=following,
            is_live=wanted == Filter(),
            entity_id=entity_id,
            status=status,
            all_statuses=[str(each) for each in Status],
        )

    @router.get("/dashboard/live")
    async def live() -> Response:
        return feed.response()

    @router.get("/dashboard/execution")
    async def execution(request: Request, id: Id) -> Response:
        return await asyncio.to_thread(pages.show, request, "execution.html", **await administration.timeline.of(id))

    @router.get("/dashboard/attention")
    async def attention(request: Request) -> Response:
        """Executions that need a person: uncertain steps to resolve, failed ones to retry."""
        uncertain = await administration.activity.failures(is_uncertain=True)
        decided = {execution["id"] for execution in uncertain}
        failed = [each for each in await administration.activity.failures() if each["id"] not in decided]
        return await asyncio.to_thread(pages.show, request, "attention.html", uncertain=uncertain, failed=failed)


def _add_operation(
    router: APIRouter,
    administration: Administration,
    pages: Pages,
    reasons: Callable[[], Awaitable[list[str]]],
    lag_s: Callable[[], float | None],
) -> None:
    @router.get("/dashboard/operation")
    async def operation(request: Request) -> Response:
        look = await administration.overview.look()
        return await asyncio.to_thread(
            pages.show, request, "operation.html", **look, reasons=await reasons(), lag_s=lag_s()
        )
