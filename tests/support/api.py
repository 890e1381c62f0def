"""The HTTP application on a real database, asked without a network."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
from pymongo.asynchronous.database import AsyncDatabase
from starlette.types import ASGIApp

from config.api_token import ApiToken
from daemon.admin.administration import administration_of
from daemon.api.application import application_of
from daemon.api.dashboard.dashboard import Dashboard
from daemon.api.envelope import Envelope
from daemon.api.exposition import Exposition
from daemon.api.session import Sessions
from daemon.metrics import Metrics
from daemon.versions.parsing import parser_for
from tests.support.settings import settings_for

TASK_FOR_LEADS: dict[str, Any] = {
    "name": "Call new leads",
    "trigger": {"type": "entity_created", "entity_type": "lead"},
    "conditions": [{"field": "source", "operator": "equals", "value": "website_form"}],
    "actions": [{"type": "create_task", "title": "Call"}],
}


def application(database: AsyncDatabase[dict[str, Any]], tokens: Sequence[ApiToken] = ()) -> Envelope:
    """Return the application over ``database``; it is always ready."""
    settings = settings_for("mongodb://unused", database.name)
    administration = administration_of(database, settings, parser_for(settings), _now)

    async def ready() -> list[str]:
        return []

    sessions = Sessions(tokens, administration.session_secret.get, administration.ended_sessions)
    dashboard = Dashboard(administration, sessions, _now, ready, lambda: None)
    return application_of(administration, tokens, ready, Exposition(Metrics(), dict), dashboard)


def _now() -> datetime:
    return datetime.now(UTC)


def client_of(app: ASGIApp, token: str | None = None) -> httpx2.AsyncClient:
    """Return a client whose requests go straight into ``app``."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://localhost:8484", headers=headers
    )
