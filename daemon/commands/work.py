"""Run a command: read the settings, start an event loop, and turn every outcome into an exit code.

Exit codes: 0 fine, 1 failure, 2 usage, 78 configuration.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.error import ConfigError, ReflexdError
from config.log import LogFormat, LogLevel, configure_logging
from config.settings import Settings
from config.settings_source import load_settings
from config.version import product_version
from daemon.admin.administration import Administration, administration_of
from daemon.admin.problem import Malformed
from daemon.commands.output import say
from daemon.event import Event
from daemon.telemetry import emit

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_CONFIGURATION: Final = 78

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file of settings; variables win over it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Database = AsyncDatabase[dict[str, Any]]


def perform(
    config: Path | None, work: Callable[[Settings], Coroutine[Any, Any, int]], *, is_quiet: bool = False
) -> None:
    """Read the settings, do the work on an event loop, and exit with its code; a quiet one logs warnings only."""
    configure_logging(LogFormat.AUTO, "INFO", product_version())
    try:
        settings = load_settings(config)
        level = LogLevel.WARNING if is_quiet and settings.log_level is LogLevel.INFO else settings.log_level
        configure_logging(settings.log_format, level, product_version())
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            code = runner.run(work(settings))
    except ConfigError as error:
        _refuse(error)
        raise typer.Exit(EXIT_CONFIGURATION) from None
    except PyMongoError as error:
        emit(Event.STORE_REFUSED, error=f"{type(error).__name__}: {error}")
        raise typer.Exit(EXIT_FAILURE) from None
    except ReflexdError as error:
        say(f"reflexd: {error}", is_error=True)
        raise typer.Exit(EXIT_USAGE if isinstance(error, Malformed) else EXIT_FAILURE) from None
    raise typer.Exit(code)


def administer(config: Path | None, work: Callable[[Administration], Coroutine[Any, Any, int]]) -> None:
    """Do some work through the functions for admins, and exit with its code."""

    async def connected(settings: Settings, database: Database) -> int:
        from daemon.clock import ServerClock
        from daemon.versions.parsing import parser_for

        clock = ServerClock(database)
        await clock.sample()
        return await work(administration_of(database, settings, parser_for(settings), clock.now))

    connect(config, connected)


def connect(config: Path | None, work: Callable[[Settings, Database], Coroutine[Any, Any, int]]) -> None:
    """Do some work with the configured database, and exit with its code."""

    async def connected(settings: Settings) -> int:
        from daemon.mongo.client import open_client
        from daemon.mongo.embedded import with_mongodb

        async with with_mongodb(settings, may_share=True) as found, open_client(found, "command") as client:
            return await work(found, client[found.database_name])

    perform(config, connected, is_quiet=True)


def _refuse(error: ConfigError) -> None:
    """Report the problems: to a person line by line, to a log shipper as one record."""
    if sys.stderr.isatty():
        say(f"reflexd: {error}", is_error=True)
    else:
        emit(Event.CONFIG_REFUSED, error=str(error))


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
