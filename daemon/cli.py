"""The command line: ``reflexd run``, ``init``, ``demo`` and those of ``daemon.commands``; also ``python -m daemon``.

Exit codes: 0 fine, 1 failure, 2 usage, 78 configuration.
"""

from functools import partial
from typing import Annotated, Final

import typer
from typer.main import get_command

from config.found import found
from config.interpreter import capture_interpreter
from config.log import LogFormat, configure_logging
from config.settings import Settings
from config.version import product_version
from daemon.commands import execution, installation, workflow
from daemon.commands.output import print_json, say
from daemon.commands.program import Program
from daemon.commands.work import EXIT_FAILURE, AsJson, ConfigFile, perform

_PARTS: Final = ("collections", "indexes", "validators", "images", "presets")

# Pretty exceptions are off: they print local values, passwords too.
app: Final = typer.Typer(
    name="reflexd",
    help="Run a CRM's if-then workflows beside its MongoDB.",
    cls=Program,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command that the arguments name, and exit."""
    configure_logging(LogFormat.AUTO, "INFO", product_version())
    capture_interpreter()
    get_command(app)()  # calling `app` would put its own hook for errors in place of ours


@app.callback(invoke_without_command=True)
def about(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False
) -> None:
    """Run a CRM's if-then workflows beside its MongoDB."""
    if version:
        say(f"reflexd {product_version()}")
        raise typer.Exit


def _position(text: str | None) -> str | None:
    """Return the position for the checkpoint, checked."""
    if text is None:
        return None
    from daemon.stream.reset import parse_position

    try:
        parse_position(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected now or a time such as 2026-11-23T09:00:00Z, found {found(text)}") from error
    return text


@app.command()
def run(
    config: ConfigFile = None,
    *,
    no_init: Annotated[bool, typer.Option("--no-init", help="Leave indexes, images and presets as they are.")] = False,
    reset_checkpoint: Annotated[
        str | None,
        typer.Option(metavar="now|TIME", callback=_position, help="First move the stream there: now, or ISO 8601."),
    ] = None,
) -> None:
    """Run the daemon until it is told to stop (SIGTERM or Ctrl-C; a second one stops it at once)."""

    async def work(settings: Settings) -> int:
        from daemon.process import run_daemon

        adjusted = settings.model_copy(update={"init_on_start": False}) if no_init else settings
        return await run_daemon(adjusted, reset_to=reset_checkpoint)

    perform(config, work)


@app.command()
def init(config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Prepare the database: collections, indexes, validators, images, presets. May be repeated."""
    perform(config, partial(_initialise, as_json=as_json))


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

    perform(config, work)


async def _initialise(settings: Settings, *, as_json: bool) -> int:
    from daemon.mongo.client import open_client
    from daemon.mongo.embedded import with_mongodb
    from daemon.mongo.initialise import initialise
    from daemon.mongo.topology import check_server

    async with (
        with_mongodb(settings, may_share=True) as connected,
        open_client(connected, "init", has_time_limit=False) as client,
    ):
        database = client[connected.database_name]
        await check_server(database)
        report = await initialise(database, connected)
    if as_json:
        print_json({part: list(getattr(report, part)) for part in (*_PARTS, "skipped")})
        return EXIT_FAILURE if report.skipped else 0
    for part in _PARTS:
        say(f"{part}: {', '.join(getattr(report, part)) or 'all in place'}")
    for skipped in report.skipped:
        say(f"left out: {skipped}")
    return EXIT_FAILURE if report.skipped else 0


app.command()(installation.doctor)
app.command()(installation.token)
app.add_typer(workflow.app, name="workflows")
app.add_typer(execution.app, name="executions")
