"""Put the HTTP API together from what a daemon has."""

from collections.abc import Callable
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Settings
from daemon.admin.administration import administration_of
from daemon.api.application import application_of
from daemon.api.exposition import Exposition, Gauges
from daemon.api.health import Readiness
from daemon.api.server import ApiServer
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
    halted: Callable[[], str | None],
    lag_s: Callable[[], float | None],
    gauges: Gauges,
    on_death: Callable[[str], None],
) -> ApiServer:
    """Return the server of one daemon; ``halted`` and ``lag_s`` speak of its reader."""
    readiness = Readiness(database, settings.collections, halted=halted, lag_s=lag_s)
    administration = administration_of(database, settings, parse, clock.now)
    app = application_of(administration, settings.all_api_tokens, readiness.reasons, Exposition(metrics, gauges))
    return ApiServer(app, settings, on_death)
