"""Routes for operators and probes: health, metrics, the state of the whole, lost history."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator

from daemon.admin.administration import Administration
from daemon.admin.json_form import to_json
from daemon.api.envelope import path_text
from daemon.api.exposition import CONTENT_TYPE, Exposition
from daemon.api.responses import errors
from daemon.api.shape import Document, Health
from daemon.api.strict_route import StrictRoute

_GAP: Final[dict[str, Any]] = {"pattern": "^[0-9]{1,10}-[0-9]{1,10}$"}  # the ids that the daemon makes


GapId = Annotated[str, BeforeValidator(path_text), Path(min_length=1, max_length=1000, json_schema_extra=_GAP)]


def probe_router(reasons: Callable[[], Awaitable[list[str]]]) -> APIRouter:
    """Return the routes of probes, which need no token; ``reasons`` returns why the daemon cannot do its job."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_model=Health, response_model_exclude_defaults=True)
    async def healthz() -> Any:
        """Whether the process answers; nothing else, because a restart repairs nothing else."""
        return {"status": "ok"}

    @router.get("/readyz", response_model=Health, responses={503: {"model": Health, "description": "It cannot."}})
    async def readyz() -> Any:
        """Whether the daemon can do its job, and if not, why."""
        found = await reasons()
        status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
        return JSONResponse({"status": "not_ready" if found else "ready", "reasons": found}, status)

    return router


def operation_router(administration: Administration, exposition: Exposition) -> APIRouter:
    """Return the routes of operators."""
    router = APIRouter(tags=["operation"], route_class=StrictRoute)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **errors()})
    async def metrics() -> Response:
        """The daemon's counters for Prometheus."""
        return Response(exposition.text(), headers={"Content-Type": CONTENT_TYPE})

    @router.get("/status", response_model=Document, responses=errors())
    async def overview() -> Any:
        """Queue, reader, replicas and gaps."""
        return to_json(await administration.overview.look())

    @router.post("/gaps/{gap_id}/acknowledge", response_model=Document, responses=errors(404))
    async def acknowledge(gap_id: GapId) -> Any:
        """Note that a person knows of a part of the stream that was lost."""
        await administration.overview.acknowledge(gap_id)
        return {"id": gap_id, "acknowledged": True}

    return router
