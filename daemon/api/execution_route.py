"""Routes of executions and decisions: what ran, what did not and why, and commands."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from daemon.admin.administration import Administration
from daemon.admin.execution import Filter
from daemon.admin.json_form import to_json
from daemon.api.responses import errors
from daemon.api.shape import Document, ExecutionPage, Moved, ResolveBody
from daemon.executions.command import Do
from daemon.executions.status import Status, StepStatus

ExecutionId = Annotated[str, Path(description="Id of the execution.", pattern="^[0-9a-fA-F]{24}$")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at the most.")]
Text = Annotated[str | None, Query(min_length=1, max_length=1000)]


def execution_router(administration: Administration) -> APIRouter:
    """Return the routes under ``/executions`` and ``/decisions``."""
    router = APIRouter(tags=["executions"])
    _add_reading(router, administration)
    _add_commands(router, administration)
    return router


def _add_reading(router: APIRouter, administration: Administration) -> None:
    executions = administration.executions

    @router.get("/executions", response_model=ExecutionPage, responses=errors())
    async def list_executions(
        workflow_id: Text = None,
        entity_type: Text = None,
        entity_id: Text = None,
        status: Status | None = None,
        uncertain: Annotated[bool, Query(description="Only those with a step that a person has to decide on.")] = False,
        before: Annotated[
            str | None, Query(pattern="^[0-9a-fA-F]{24}$", description="`next` of the page before.")
        ] = None,
        limit: Limit = 20,
    ) -> Any:
        """Executions by filter, newest first to the second; held steps are those with the status held."""
        wanted = Filter(workflow_id, entity_type, entity_id, status, uncertain, before)
        items, following = await executions.page(wanted, limit)
        return {"items": to_json(items), "next": following}

    @router.get("/executions/{execution_id}", response_model=Document, responses=errors(404))
    async def show_execution(execution_id: ExecutionId) -> Any:
        """One execution whole: every step with its result, attempts and waits, and its cause."""
        document = to_json(await executions.show(execution_id))
        return {"id": document.pop("_id"), **document}

    @router.get("/decisions", response_model=list[Document], responses=errors())
    async def list_decisions(
        entity_id: Annotated[str, Query(min_length=1, max_length=1000)],
        entity_type: Text = None,
        workflow_id: Text = None,
        limit: Limit = 20,
    ) -> Any:
        """Why workflows did not run for an entity, newest first."""
        found = to_json(await executions.decisions(entity_id, entity_type, workflow_id, limit))
        return [{"id": decision.pop("_id"), **decision} for decision in found]


def _add_commands(router: APIRouter, administration: Administration) -> None:
    executions = administration.executions

    @router.post("/executions/{execution_id}/retry", response_model=Moved, responses=errors(404, 409))
    async def retry(execution_id: ExecutionId) -> Any:
        """Run the failed steps again, and only those; a cancelled execution goes on where it stood."""
        return {"status": await executions.command(execution_id, Do.RETRY)}

    @router.post("/executions/{execution_id}/cancel", response_model=Moved, responses=errors(404, 409))
    async def cancel(execution_id: ExecutionId) -> Any:
        """End an execution that waits; what an action is at work on is refused."""
        return {"status": await executions.command(execution_id, Do.CANCEL)}

    @router.post("/executions/{execution_id}/resolve", response_model=Moved, responses=errors(404, 409))
    async def resolve(execution_id: ExecutionId, body: ResolveBody) -> Any:
        """Say how an uncertain step ended; the status is computed anew."""
        return {"status": await executions.command(execution_id, Do.RESOLVE, StepStatus(body.outcome), body.step)}
