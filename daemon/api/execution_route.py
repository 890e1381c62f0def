"""Routes of executions, of decisions against executions, and of commands."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query

from daemon.admin.administration import Administration
from daemon.admin.execution import CURSOR_SCHEMA, Filter
from daemon.admin.identifier import LONGEST_ID, record_json
from daemon.admin.json_form import to_json
from daemon.api.answer import Answers
from daemon.api.link import next_page
from daemon.api.responses import errors
from daemon.api.shape import Document, ExecutionPage, Moved, ResolveBody
from daemon.api.strict_route import PathId, StrictRoute
from daemon.executions.command import Do
from daemon.executions.status import Status, StepStatus

ExecutionId = PathId
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at the most.")]
Text = Annotated[str | None, Query(min_length=1, max_length=LONGEST_ID)]
Before = Annotated[str | None, Query(min_length=1, max_length=LONGEST_ID, json_schema_extra=CURSOR_SCHEMA)]


def execution_router(administration: Administration, answers: Answers) -> APIRouter:
    """Return the routes under ``/executions`` and ``/decisions``."""
    router = APIRouter(tags=["executions"], route_class=StrictRoute)
    _add_reading(router, administration, answers)
    _add_decisions(router, administration, answers)
    _add_commands(router, administration)
    return router


def _add_reading(router: APIRouter, administration: Administration, answers: Answers) -> None:
    executions = administration.executions

    @router.get("/executions", response_model=ExecutionPage, responses=errors())
    async def list_executions(
        workflow_id: Text = None,
        entity_type: Text = None,
        entity_id: Text = None,
        status: Status | None = None,
        uncertain: Annotated[bool, Query(description="Only those with a step that a person has to decide on.")] = False,
        before: Before = None,
        limit: Limit = 20,
    ) -> Any:
        """Executions by filter, newest first; held steps are those with the status held.

        Where there are more, `next` is the `before` of the page behind; a page of large documents ends early.
        """
        wanted = Filter(workflow_id, entity_type, entity_id, status, uncertain, before)
        items, following = await executions.page(wanted, limit)

        def show(pace: Callable[[], None]) -> Any:
            return {"items": [record_json(item, partial(to_json, pace=pace)) for item in items], "next": following}

        return await answers.json(show)

    @router.get("/executions/{execution_id}", response_model=Document, responses=errors(404))
    async def show_execution(execution_id: ExecutionId) -> Any:
        """One execution whole: every step with its result, attempts and waits, and its cause."""
        document = await executions.show(execution_id)
        return await answers.json(lambda pace: _named(document, pace))


def _add_decisions(router: APIRouter, administration: Administration, answers: Answers) -> None:
    executions = administration.executions

    @router.get("/decisions", response_model=list[Document], responses=errors())
    async def list_decisions(
        entity_id: Annotated[str, Query(min_length=1, max_length=LONGEST_ID)],
        entity_type: Text = None,
        workflow_id: Text = None,
        before: Before = None,
        limit: Limit = 20,
    ) -> Any:
        """Why workflows did not run for an entity, newest first.

        Where there are more, the Link header says where; a page of large documents ends early.
        """
        found, following = await executions.decisions(entity_id, entity_type, workflow_id, limit, before)
        asked = {"entity_id": entity_id, "entity_type": entity_type, "workflow_id": workflow_id, "limit": limit}
        headers = next_page("/decisions", **asked, before=following)
        return await answers.json(lambda pace: [_named(decision, pace) for decision in found], headers)


def _named(document: dict[str, Any], pace: Callable[[], None]) -> dict[str, Any]:
    """Return a stored record as JSON data, its id first."""
    shown = record_json(document, partial(to_json, pace=pace))
    return {"id": shown.pop("_id"), **shown}


def _add_commands(router: APIRouter, administration: Administration) -> None:
    executions = administration.executions

    @router.post("/executions/{execution_id}/retry", response_model=Moved, responses=errors(404, 409))
    async def retry(execution_id: ExecutionId) -> Any:
        """Run the failed steps again, and only those; a cancelled execution goes on where it stood."""
        return {"status": await executions.command(execution_id, Do.RETRY)}

    @router.post("/executions/{execution_id}/cancel", response_model=Moved, responses=errors(404, 409))
    async def cancel(execution_id: ExecutionId) -> Any:
        """End an execution that waits; while an action is at work on it, the command is refused."""
        return {"status": await executions.command(execution_id, Do.CANCEL)}

    @router.post("/executions/{execution_id}/resolve", response_model=Moved, responses=errors(404, 409))
    async def resolve(execution_id: ExecutionId, body: ResolveBody) -> Any:
        """Say how an uncertain step ended; the status is computed anew."""
        node = None if body.step is None else str(body.step)
        return {"status": await executions.command(execution_id, Do.RESOLVE, StepStatus(body.outcome), node)}
