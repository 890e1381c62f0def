"""``reflexd workflows …``: see, check, switch and run workflows, and ask why."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from config.error import WorkflowError
from daemon.admin.administration import Administration
from daemon.admin.identifier import id_text
from daemon.admin.json_form import object_from_json, parse_instant, parse_json
from daemon.admin.plan import lines_of, plan_of
from daemon.admin.problem import Malformed, NotFound
from daemon.commands.output import print_document, print_rows, say
from daemon.commands.program import Commands
from daemon.commands.work import EXIT_FAILURE, AsJson, ConfigFile, administer
from rules.workflow import WorkflowStatus

app: Final = typer.Typer(cls=Commands, help="See, check, switch and run workflows, and ask why.", no_args_is_help=True)

_PAGE: Final = 1_000
_MOST_NAMED: Final = 20  # workflows of one name that are told apart in the message

WorkflowName = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Its id, or its name where that is unique.")]
EntityId = Annotated[str, typer.Argument(metavar="ENTITY_ID", help="Id of the entity.")]
EntityType = Annotated[str | None, typer.Option("--type", help="Type of the entity, where the workflow names none.")]


_COLUMNS: Final = {
    "id": "id",
    "name": "name",
    "status": "status",
    "state": "observed",
    "execution_count": "executions",
    "error": "error",
}


@app.command("list")
def list_workflows(config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Show every workflow: its status, the one the daemon observed, how many executions have ended, and its error."""

    async def work(administration: Administration) -> int:
        rows: list[dict[str, Any]] = []
        after: str | None = None
        while not rows or after is not None:
            page, after = await administration.workflows.summaries(_PAGE, after)
            rows += page
            if not page:
                break
        print_rows(rows, _COLUMNS, as_json=as_json)
        return 0

    administer(config, work)


@app.command()
def show(name: WorkflowName, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Show one workflow document, with the daemon's answer in it."""

    async def work(administration: Administration) -> int:
        document = await administration.workflows.show(await workflow_id_of(administration, name))
        document = {"id": document.pop("_id"), **document}
        if as_json:
            print_document(document, as_json=True)
            return 0
        print_document({key: value for key, value in document.items() if key != "actions"}, as_json=False)
        _section(list(lines_of(plan_of(document.get("actions")))), _STEPS)
        return 0

    administer(config, work)


@app.command()
def validate(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A JSON file with one workflow, or a list; - reads stdin.")
    ],
    config: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check workflow documents; nothing is saved. Exits 1 if one is wrong."""

    async def work(administration: Administration) -> int:
        documents = _documents_in(file)
        verdicts = [{"name": _name_in(each), **await _verdict_on(administration, each)} for each in documents]
        rows = [{**each, "verdict": "failed" if each["error"] else "ok"} for each in verdicts]
        columns = {"verdict": "verdict", "name": "name", "error": "error", "ignored": "ignored"}
        print_rows(rows, columns, as_json=as_json)
        return EXIT_FAILURE if any(each["error"] for each in verdicts) else 0

    administer(config, work)


@app.command()
def activate(name: WorkflowName, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Let changes start executions; held steps get their due times back."""
    _switch(config, name, WorkflowStatus.ACTIVE, as_json)


@app.command()
def pause(name: WorkflowName, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Start nothing new and hold waiting steps."""
    _switch(config, name, WorkflowStatus.PAUSED, as_json)


@app.command()
def drain(name: WorkflowName, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Start nothing new and finish waiting executions."""
    _switch(config, name, WorkflowStatus.DRAINING, as_json)


@app.command()
def stop(name: WorkflowName, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Start nothing new and cancel waiting executions."""
    _switch(config, name, WorkflowStatus.STOPPED, as_json)


@app.command()
def run(
    name: WorkflowName,
    entity_id: EntityId,
    entity_type: EntityType = None,
    config: ConfigFile = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Ignore conditions and enrollment.")] = False,
    dry: Annotated[bool, typer.Option("--dry", help="Only say what it would do.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a workflow for one entity by hand. A running daemon answers."""

    async def work(administration: Administration) -> int:
        workflow_id, runs = await workflow_id_of(administration, name), administration.runs
        if dry:
            print_document(await runs.dry_run(workflow_id, entity_id, entity_type), as_json=as_json)
            return 0
        print_document(await runs.run(workflow_id, entity_id, entity_type, is_forced=force), as_json=as_json)
        return 0

    administer(config, work)


@app.command()
def explain(
    name: WorkflowName,
    entity_id: EntityId,
    entity_type: EntityType = None,
    at: Annotated[str | None, typer.Option(help="A past moment, ISO 8601, for example 2026-05-04T09:00:00Z.")] = None,
    config: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say why a workflow did or did not run for an entity."""

    async def work(administration: Administration) -> int:
        moment = parse_instant(at, "--at") if at is not None else None
        workflow_id = await workflow_id_of(administration, name)
        told = await administration.explainer.explain(workflow_id, entity_id, entity_type, moment)
        if as_json:
            print_document(told, as_json=True)
            return 0
        say(str(told["summary"]))
        _section(told["checks"], {"check": "check", "passed": "passed", "says": "says"})
        _section(told["conditions"], {key: key for key in ("path", "field", "operator", "expected", "actual", "met")})
        _section(told["executions"], {key: key for key in ("id", "status", "triggered_at", "reason")})
        _section(told["decisions"], {key: key for key in ("at", "change", "reason", "conditions")})
        return 0

    administer(config, work)


@app.command()
def backtest(
    name: WorkflowName,
    days: Annotated[float, typer.Option(help="Days to look back.")] = 7.0,
    config: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say how often a workflow would have fired over the last days, and for whom; nothing is written."""

    async def work(administration: Administration) -> int:
        with _progress() as on_progress:
            workflow_id = await workflow_id_of(administration, name)
            told = await administration.backtester.run(workflow_id, days, on_progress)
        entities = told.pop("entities")
        if as_json:
            print_document({**told, "entities": entities}, as_json=True)
            return 0
        print_document(told, as_json=False)
        _section(entities, {"entity_id": "entity", "at": "at"})
        return 0

    administer(config, work)


def _switch(config: Path | None, name: str, status: WorkflowStatus, as_json: bool) -> None:
    async def work(administration: Administration) -> int:
        done = await administration.workflows.switch(await workflow_id_of(administration, name), status)
        print_document({"status": done}, as_json=as_json)
        return 0

    administer(config, work)


async def workflow_id_of(administration: Administration, name: str) -> str:
    """Return the id of a workflow that is named by id or by name; raise NotFound, or Malformed where several fit."""
    with suppress(NotFound, Malformed):
        return id_text((await administration.workflows.show(name))["_id"])
    named = [id_text(each) for each in await administration.workflows.named(name, _MOST_NAMED)]
    if len(named) > 1:
        raise Malformed("WORKFLOW", f"expected one workflow, found {len(named)} of this name: {', '.join(named)}")
    if not named:
        raise NotFound(f"workflow '{name[:80]}': there is none with this id or name; see `reflexd workflows list`")
    return named[0]


def _documents_in(file: str) -> list[Any]:
    try:
        found = parse_json(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise Malformed(file, f"expected a file: {error.strerror}") from error
    except ValueError as error:
        raise Malformed(file, f"expected JSON: {error}") from error
    return found if isinstance(found, list) else [found]


def _name_in(document: Any) -> str:
    return str(document.get("name", ""))[:80] if isinstance(document, dict) else ""


async def _verdict_on(administration: Administration, document: Any) -> dict[str, Any]:
    """Return the error of a document, and which of its keys define nothing."""
    if not isinstance(document, dict):
        return {"error": "expected an object", "ignored": []}
    ignored = administration.workflows.ignored(document)
    try:
        await administration.workflows.checked(object_from_json(document))
    except (WorkflowError, Malformed) as error:
        return {"error": str(error), "ignored": ignored}
    return {"error": "", "ignored": ignored}


_STEPS: Final = {"node": "node", "step": "step", "when": "if", "delay": "delay", "parameters": "parameters"}


def _section(rows: list[dict[str, Any]], columns: dict[str, str]) -> None:
    if rows:
        say("")
        print_rows(rows, columns, as_json=False)


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """Yield a function that shows the progress, from 0 to 1: as a bar at a terminal, not at all elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("looking back", total=1.0)
        yield lambda done: bar.update(task, completed=done)
