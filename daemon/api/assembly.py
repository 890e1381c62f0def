"""Put the HTTP API together from what a daemon has."""

from collections.abc import Callable
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Settings
from daemon.admin.administration import administration_of
from daemon.api.application import application_of
from daemon.api.dashboard.dashboard import Dashboard
from daemon.api.exposition import Exposition, Gauges
from daemon.api.health import Readiness
from daemon.api.server import ApiServer
from daemon.api.session import Sessions
from daemon.clock import ServerClock
from daemon.metrics import Metrics
from rules.head import Parse


def api_server(
    settings: Settings,
    database: AsyncDatabase[dict[str, Any]],
    parse: Parse,
    clock: ServerClock,
    metrics: Metrics,
    *,
    lag_s: Callable[[], float | None],
    gauges: Gauges,
    on_death: Callable[[str], None],
) -> ApiServer:
    """Return the server of one daemon; ``lag_s`` speaks of its reader."""
    readiness = Readiness(database, settings.collections, lag_s=lag_s)
    administration = administration_of(database, settings, parse, clock.now)
    tokens = settings.all_api_tokens
    sessions = Sessions(tokens, administration.session_secret.get)
    dashboard = Dashboard(administration, sessions, clock.now, readiness.reasons, lag_s)
    app = application_of(administration, tokens, readiness.reasons, Exposition(metrics, gauges), dashboard)
    return ApiServer(app, settings, on_stop=dashboard.close, on_death=on_death)
