"""The command line: ``reflexd run``, ``init`` and ``demo``; the same as ``python -m daemon``.

Exit codes: 0 fine, 1 failure, 2 usage, 78 configuration.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pymongo.errors import PyMongoError

from config.error import ConfigError
from config.log import LogFormat, configure_logging
from config.settings import Settings, load_settings
from config.version import product_version
from daemon.event import Event
from daemon.telemetry import emit

EXIT_FAILURE: Final = 1
EXIT_CONFIGURATION: Final = 78

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file of settings; variables win over it.")
]

# Pretty exceptions are off: they print local values, passwords too.
app: Final = typer.Typer(
    name="reflexd",
    help="Run a CRM's if-then workflows beside its MongoDB.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command that the arguments name, and exit."""
    app()


@app.callback(invoke_without_command=True)
def about(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False
) -> None:
    """Run a CRM's if-then workflows beside its MongoDB."""
    if version:
        typer.echo(f"reflexd {product_version()}")
        raise typer.Exit


@app.command()
def run(
    config: ConfigFile = None,
    *,
    no_init: Annotated[bool, typer.Option("--no-init", help="Leave indexes, images and presets as they are.")] = False,
) -> None:
    """Run the daemon until it is told to stop (SIGTERM or Ctrl-C; a second one stops it at once)."""

    async def work(settings: Settings) -> int:
        from daemon.app import run_daemon

        return await run_daemon(settings.model_copy(update={"init_on_start": False}) if no_init else settings)

    _perform(config, work)


@app.command()
def init(config: ConfigFile = None) -> None:
    """Prepare the database: collections, indexes, validators, images, presets. May be repeated."""
    _perform(config, _initialise)


@app.command()
def demo(
    config: ConfigFile = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Play once; exit 0 only if all went as expected.")] = False,
) -> None:
    """Show the daemon at work beside a sample CRM, on data of its own, until Ctrl-C."""

    async def work(settings: Settings) -> int:
        from daemon.demo import run_demo

        return await run_demo(settings, once=once)

    _perform(config, work)


async def _initialise(settings: Settings) -> int:
    from daemon.mongo.client import open_client
    from daemon.mongo.embedded import with_mongodb
    from daemon.mongo.initialise import initialise

    async with (
        with_mongodb(settings, may_share=True) as connected,
        open_client(connected, "init", is_patient=True) as client,
    ):
        report = await initialise(client[connected.database_name], connected)
    for part in ("collections", "indexes", "validators", "images", "presets"):
        typer.echo(f"{part}: {', '.join(getattr(report, part)) or 'all in place'}")
    for skipped in report.skipped:
        typer.echo(f"left out: {skipped}")
    return EXIT_FAILURE if report.skipped else 0


def _perform(config: Path | None, work: Callable[[Settings], Coroutine[Any, Any, int]]) -> None:
    """Read the settings, do the work on an event loop, and exit with its code."""
    configure_logging(LogFormat.AUTO, "INFO", product_version())
    try:
        settings = load_settings(config)
        configure_logging(settings.log_format, settings.log_level, product_version())
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            code = runner.run(work(settings))
    except ConfigError as error:
        _refuse(error)
        raise typer.Exit(EXIT_CONFIGURATION) from None
    except PyMongoError as error:
        emit(Event.STORE_UNAVAILABLE, during="start", error=error)
        raise typer.Exit(EXIT_FAILURE) from None
    raise typer.Exit(code)


def _refuse(error: ConfigError) -> None:
    """Say what is wrong: to a person line by line, to a log shipper as one record."""
    if sys.stderr.isatty():
        typer.echo(f"reflexd: {error}", err=True)
    else:
        emit(Event.CONFIG_REFUSED, error=str(error))


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
