"""Run the daemon as a process: prepare MongoDB, start the daemon, and stop it."""

import time
from functools import partial

from config.settings import Settings
from daemon.app import Daemon
from daemon.collector import calm_collector
from daemon.event import Event
from daemon.mongo.client import open_client
from daemon.mongo.embedded import with_mongodb
from daemon.mongo.initialise import initialise
from daemon.mongo.repetition import repeatedly
from daemon.mongo.topology import check_server
from daemon.signals import StopRequest
from daemon.stream.reset import parse_position, reset_checkpoint
from daemon.telemetry import emit
from daemon.versions.parsing import parser_for


async def run_daemon(settings: Settings, *, reset_to: str | None = None) -> int:
    """Run until told to stop; return the exit code. ``reset_to``: move the checkpoint there first."""
    began = time.monotonic()
    async with with_mongodb(settings) as connected:
        async with open_client(connected, "init", has_time_limit=False) as client:
            await check_server(client[connected.database_name])
            if connected.init_on_start:
                await repeatedly(partial(initialise, client[connected.database_name], connected))
        if reset_to is not None:
            async with open_client(connected, "reset") as client:
                database, parse = client[connected.database_name], parser_for(connected)
                await reset_checkpoint(database, connected.collections, parse, parse_position(reset_to))
        async with open_client(connected, "daemon") as client, open_client(connected, "reader") as reader_client:
            stop = StopRequest()
            stop.listen()
            daemon = Daemon(connected, client, reader_client, on_failure=stop.fail)
            try:
                await daemon.start()
            except BaseException:
                await daemon.stop()  # otherwise every service would report that it ended by itself
                raise
            calm_collector()
            emit(
                Event.DAEMON_STARTED,
                replica=connected.replica_name,
                database=connected.database_name,
                seconds=round(time.monotonic() - began, 3),
            )
            reason = await stop.wait()
            emit(Event.DAEMON_STOPPING, signal=reason)
            await daemon.stop()
    emit(Event.DAEMON_STOPPED, exit_code=stop.exit_code, seconds=round(time.monotonic() - began, 3))
    return stop.exit_code
