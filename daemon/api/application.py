"""The HTTP application: routes behind a guard, problems instead of stack traces, an accurate OpenAPI description."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fastapi import FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPBearer

from config.api_token import ApiToken
from config.version import product_version
from daemon.admin.administration import Administration
from daemon.api.answer import Answers
from daemon.api.body_limit import BodyLimit
from daemon.api.capacity import Capacity
from daemon.api.dashboard.dashboard import STREAMS, Dashboard
from daemon.api.envelope import Envelope
from daemon.api.execution_route import execution_router
from daemon.api.exposition import Exposition
from daemon.api.guard import Guard
from daemon.api.head_request import HeadRequests
from daemon.api.operation_route import operation_router, probe_router
from daemon.api.problem import handle_errors
from daemon.api.workflow_route import workflow_router
from daemon.api.workflow_schema import schemas

PROBES: Final = ("/healthz", "/readyz")


def application_of(
    administration: Administration,
    tokens: Sequence[ApiToken],
    reasons: Callable[[], Awaitable[list[str]]],
    exposition: Exposition,
    dashboard: Dashboard,
) -> Envelope:
    """Return the application. The server starts and stops it."""
    # The pages of the documentation load scripts from elsewhere, so there are none; /openapi.json is served.
    app = FastAPI(title="reflexd", version=product_version(), docs_url=None, redoc_url=None, redirect_slashes=False)
    # Describes the guard to OpenAPI; without tokens the guard asks for none.
    bearer = [Security(HTTPBearer(auto_error=False, description="A token of the API."))] if tokens else []
    answers = Answers()
    app.include_router(workflow_router(administration, answers), dependencies=bearer)
    app.include_router(execution_router(administration, answers), dependencies=bearer)
    app.include_router(probe_router(reasons))
    app.include_router(operation_router(administration, exposition), dependencies=bearer)
    dashboard.put_into(app)
    handle_errors(app)
    # The middleware added last is the outermost.
    app.add_middleware(HeadRequests)
    app.add_middleware(Capacity, free_paths=(*PROBES, *STREAMS))
    app.add_middleware(BodyLimit)
    app.add_middleware(
        Guard, tokens=tokens, open_paths=PROBES, visitors=dashboard.visitors, wrong_tokens=dashboard.wrong_tokens
    )
    # As the documentation of FastAPI has it ("Extending OpenAPI"), though a method is replaced.
    app.openapi = lambda: _openapi(app, administration.entity_types)  # type: ignore[method-assign]
    return Envelope(app)


def _openapi(app: FastAPI, entity_types: Sequence[str]) -> dict[str, Any]:
    """Return the description, with the schema of workflows and without FastAPI's answers that our handlers replace."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for operations in schema["paths"].values():
            for operation in operations.values():
                answer = operation["responses"].get("422", {})
                if "HTTPValidationError" in str(answer):
                    del operation["responses"]["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        schema["components"]["schemas"] |= schemas(entity_types)
        app.openapi_schema = schema
    return app.openapi_schema
