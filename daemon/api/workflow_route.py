"""Routes of workflows: list, show, edit, switch, validate, run, play dry, explain, backtest."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response

from config.error import WorkflowError
from daemon.admin.administration import Administration
from daemon.admin.identifier import LONGEST_ID, id_text, readings, record_json
from daemon.admin.json_form import object_from_json, parse_instant, to_json
from daemon.admin.problem import Malformed
from daemon.admin.workflow import tag_of
from daemon.api.answer import Answers
from daemon.api.link import next_page
from daemon.api.responses import errors
from daemon.api.shape import (
    BacktestBody,
    Created,
    Document,
    DryRunBody,
    ExecutionBrief,
    PatchBody,
    RunAnswer,
    RunBody,
    Switched,
    Validity,
    WorkflowBody,
    WorkflowSummary,
)
from daemon.api.strict_route import PathId, StrictRoute
from rules.workflow import OWN_KEYS, WorkflowStatus

_MOMENT: Final[dict[str, Any]] = {
    "pattern": "^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"
}

WorkflowId = PathId
Id = Annotated[str, Query(min_length=1, max_length=LONGEST_ID)]
_LONGEST_BACKTEST_S: Final = 40.0  # less than any request may take
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at the most.")]
# Not in the schema: a made-up tag is refused, which OpenAPI cannot express.
Tag = Annotated[str | None, Header(alias="If-Match", include_in_schema=False)]


def workflow_router(administration: Administration, answers: Answers) -> APIRouter:
    """Return the routes under ``/workflows``."""
    router = APIRouter(prefix="/workflows", tags=["workflows"], route_class=StrictRoute)
    _add_reading(router, administration, answers)
    _add_editing(router, administration, answers)
    _add_validation(router, administration)
    _add_switches(router, administration)
    _add_questions(router, administration, answers)
    return router


def _add_reading(router: APIRouter, administration: Administration, answers: Answers) -> None:
    @router.get("", response_model=list[WorkflowSummary], responses=errors())
    async def list_workflows(
        response: Response,
        limit: Limit = 1000,
        after: Annotated[str | None, Query(min_length=1, max_length=LONGEST_ID)] = None,
    ) -> Any:
        """Workflows with their status and how many executions have ended, in the order of their ids.

        Where there are more, the Link header says where: behind the last one's id, with `after`.
        """
        found, following = await administration.workflows.summaries(limit, after)
        headers = next_page("/workflows", limit=limit, after=following)
        shown = [record_json({name: each[name] for name in WorkflowSummary.model_fields}) for each in found]
        return await answers.json(lambda pace: shown, headers)

    @router.get("/{workflow_id}", response_model=Document, responses=errors(404))
    async def show_workflow(workflow_id: WorkflowId) -> Any:
        """One workflow document, with what the daemon observed; edits are compared with its ETag."""
        return await _tagged(answers, await administration.workflows.show(workflow_id))

    @router.get("/{workflow_id}/executions", response_model=list[ExecutionBrief], responses=errors(404))
    async def list_executions(workflow_id: WorkflowId, limit: Limit = 20) -> Any:
        """The newest executions of a workflow, newest first; where there are more, the Link header says where."""
        workflow = await administration.workflows.show(workflow_id)
        found, following = await administration.executions.of_workflow(workflow["_id"], limit)
        which = id_text(workflow["_id"])
        headers = next_page("/executions", workflow_id=which, limit=limit, before=following)
        return await answers.json(lambda pace: to_json(found, pace=pace), headers)


def _add_editing(router: APIRouter, administration: Administration, answers: Answers) -> None:
    workflows = administration.workflows

    @router.post(
        "",
        status_code=HTTPStatus.CREATED,
        response_model=Created,
        response_model_exclude_defaults=True,
        responses=errors(422),
    )
    async def create_workflow(document: WorkflowBody, response: Response) -> Any:
        """Create a workflow. Without a status it is active at once."""
        given = object_from_json(document)
        workflow_id = await workflows.create(given)
        response.headers["Location"] = f"/workflows/{workflow_id}"
        return {"id": id_text(workflow_id), "ignored": workflows.ignored(given)}

    @router.put("/{workflow_id}", response_model=Document, responses=errors(404, 412, 422))
    async def replace_workflow(workflow_id: WorkflowId, document: WorkflowBody, if_match: Tag = None) -> Any:
        """Put a new definition in place. Without a status the switch stays as it is.

        With If-Match, the ETag of the version that this edit is based on, it is refused if there is a newer one.
        """
        given = dict(document)
        named = given.pop("id", workflow_id)
        if not isinstance(named, str) or not set(map(repr, readings(named))) & set(map(repr, readings(workflow_id))):
            raise Malformed("id", "expected the id of the path, or none")
        return await _tagged(answers, await workflows.replace(workflow_id, object_from_json(given), _tag(if_match)))

    @router.patch("/{workflow_id}", response_model=Document, responses=errors(404, 412, 422))
    async def patch_workflow(workflow_id: WorkflowId, patch: PatchBody, if_match: Tag = None) -> Any:
        """Apply a JSON merge patch (RFC 7396): null takes a key out. If-Match works as with PUT."""
        return await _tagged(answers, await workflows.patch(workflow_id, object_from_json(patch), _tag(if_match)))

    @router.delete("/{workflow_id}", status_code=HTTPStatus.NO_CONTENT, responses=errors(404, 412))
    async def delete_workflow(workflow_id: WorkflowId, if_match: Tag = None) -> None:
        """Delete a workflow: waiting executions are cancelled. If-Match works as with PUT."""
        await workflows.delete(workflow_id, _tag(if_match))


def _add_validation(router: APIRouter, administration: Administration) -> None:
    workflows = administration.workflows

    @router.post("/validate", response_model=Validity, response_model_exclude_defaults=True, responses=errors())
    async def validate_workflow(document: Document) -> Any:
        """Whether a document is a valid workflow; nothing is saved."""
        ignored = workflows.ignored(document)
        try:
            await workflows.checked(object_from_json(document))
        except (WorkflowError, Malformed) as error:
            problem = {"field": error.path, "problem": error.problem}
            return {"valid": False, "errors": [problem], "ignored": ignored}
        return {"valid": True, "errors": [], "ignored": ignored}


def _add_switches(router: APIRouter, administration: Administration) -> None:
    @router.put("/{workflow_id}/activate", response_model=Switched, responses=errors(404))
    async def activate(workflow_id: WorkflowId) -> Any:
        """Let changes start executions; held steps get their due times back."""
        return {"status": await administration.workflows.switch(workflow_id, WorkflowStatus.ACTIVE)}

    @router.put("/{workflow_id}/pause", response_model=Switched, responses=errors(404))
    async def pause(workflow_id: WorkflowId) -> Any:
        """Start nothing new and hold waiting steps."""
        return {"status": await administration.workflows.switch(workflow_id, WorkflowStatus.PAUSED)}

    @router.put("/{workflow_id}/drain", response_model=Switched, responses=errors(404))
    async def drain(workflow_id: WorkflowId) -> Any:
        """Start nothing new and finish waiting executions."""
        return {"status": await administration.workflows.switch(workflow_id, WorkflowStatus.DRAINING)}

    @router.put("/{workflow_id}/stop", response_model=Switched, responses=errors(404))
    async def stop(workflow_id: WorkflowId) -> Any:
        """Start nothing new and cancel waiting executions."""
        return {"status": await administration.workflows.switch(workflow_id, WorkflowStatus.STOPPED)}


def _add_questions(router: APIRouter, administration: Administration, answers: Answers) -> None:
    @router.post(
        "/{workflow_id}/run",
        response_model=RunAnswer,
        response_model_exclude_none=True,
        responses={202: {"model": RunAnswer, "description": "No daemon has answered yet."}, **errors(404, 409)},
    )
    async def run_workflow(workflow_id: WorkflowId, body: RunBody, response: Response) -> Any:
        """Run a workflow for one entity by hand, as if it had been triggered."""
        answer = await administration.runs.run(workflow_id, body.entity_id, body.entity_type, is_forced=body.force)
        if answer["status"] == "pending":
            response.status_code = HTTPStatus.ACCEPTED
        return record_json(answer)

    @router.post("/{workflow_id}/dry-run", response_model=Document, responses=errors(404, 409, 422))
    async def dry_run(workflow_id: WorkflowId, body: DryRunBody) -> Any:
        """What a workflow would do for one entity; nothing is written or sent."""
        told = await administration.runs.dry_run(workflow_id, body.entity_id, body.entity_type)
        return await answers.json(lambda pace: to_json(told, pace=pace))

    @router.get("/{workflow_id}/explain", response_model=Document, responses=errors(404, 409, 422))
    async def explain(
        workflow_id: WorkflowId,
        entity_id: Id,
        entity_type: str | None = None,
        at: Annotated[str | None, Query(description="A past moment, ISO 8601.", json_schema_extra=_MOMENT)] = None,
    ) -> Any:
        """Why a workflow did or did not run for an entity."""
        moment = parse_instant(at, "at") if at is not None else None
        told = await administration.explainer.explain(workflow_id, entity_id, entity_type, moment)
        return await answers.json(lambda pace: record_json(told, partial(to_json, pace=pace)))

    @router.post("/{workflow_id}/backtest", response_model=Document, responses=errors(404, 409, 422, 429))
    async def backtest(workflow_id: WorkflowId, body: BacktestBody) -> Any:
        """How often a workflow would have fired over the last days, and for whom; nothing is written.

        One at a time, for at most 40 seconds: `is_complete` says whether that was enough.
        """
        told = await administration.backtester.run(workflow_id, body.days, longest_s=_LONGEST_BACKTEST_S)
        return await answers.json(lambda pace: record_json(told, partial(to_json, pace=pace)))


async def _tagged(answers: Answers, document: dict[str, Any]) -> Response:
    """Return a workflow document with its ETag; its definition is in the exact form, which can be sent back."""

    def show(pace: Callable[[], None]) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": id_text(document["_id"])}
        for key, value in document.items():
            if key != "_id":
                shown[str(key)] = to_json(value, is_exact=key not in OWN_KEYS, pace=pace)
        return shown

    return await answers.json(show, {"ETag": f'"{tag_of(document)}"'})


def _tag(if_match: str | None) -> str | None:
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"')
