"""Put the HTTP API together from what a daemon has, once it listens: a replica without an API makes none of it."""

from daemon.admin.administration import administration_of
from daemon.api.application import application_of
from daemon.api.dashboard.dashboard import Dashboard
from daemon.api.exposition import Exposition
from daemon.api.health import Readiness
from daemon.api.server import ApiServer, Served
from daemon.api.session import Sessions
from daemon.foundation import Foundation
from daemon.mongo.client import open_client
from daemon.status import StatusReporter


def api_server(base: Foundation, status: StatusReporter) -> ApiServer:
    """Return the server of one daemon; ``status`` tells what the other services do."""
    settings, database, clock, lag_s = base.settings, base.database, base.clock, status.lag_s

    def assemble() -> Served:
        readiness = Readiness(database, settings.collections, lag_s=lag_s)
        # Readers have connections of their own: whatever they ask for, the daemon's stay free.
        client = open_client(settings, "api", is_for_readers=True)
        unlimited_client = open_client(settings, "history", has_time_limit=False)
        history = unlimited_client[database.name]
        administration = administration_of(client[database.name], settings, base.parse, clock.now, history)
        tokens = settings.all_api_tokens
        sessions = Sessions(tokens, administration.session_secret.get, administration.ended_sessions)
        dashboard = Dashboard(administration, sessions, clock.now, readiness.reasons, lag_s)
        exposition = Exposition(base.metrics, status.gauges)
        app = application_of(administration, tokens, readiness.reasons, exposition, dashboard)

        async def close() -> None:
            await client.close()
            await unlimited_client.close()

        return Served(app, end_streams=dashboard.close, close=close)

    return ApiServer(settings, assemble)
