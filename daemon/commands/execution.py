"""``reflexd executions …``: list and show executions; retry, cancel or resolve one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon.admin.administration import Administration
from daemon.admin.execution import Filter
from daemon.admin.problem import NotFound
from daemon.commands.output import print_document, print_rows, say
from daemon.commands.program import Commands
from daemon.commands.work import AsJson, ConfigFile, administer
from daemon.commands.workflow import workflow_id_of
from daemon.executions.command import Do
from daemon.executions.status import Status, StepStatus

app: Final = typer.Typer(cls=Commands, help="See what ran, and retry, cancel or resolve it.", no_args_is_help=True)

ExecutionId = Annotated[str, typer.Argument(metavar="EXECUTION_ID", help="Id of the execution.")]
_COLUMNS: Final = {
    "id": "id",
    "workflow_name": "workflow",
    "entity_type": "type",
    "entity_id": "entity",
    "status": "status",
    "triggered_at": "triggered",
    "actions_count": "steps",
}


@app.command("list")
def list_executions(
    workflow: Annotated[str | None, typer.Option(help="Id of the workflow, or its name.")] = None,
    entity_type: Annotated[str | None, typer.Option("--type", help="Type of the entity.")] = None,
    entity_id: Annotated[str | None, typer.Option("--entity", help="Id of the entity.")] = None,
    status: Annotated[Status | None, typer.Option(help="Their status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at the most.")] = 20,
    config: ConfigFile = None,
    *,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Only those with a step that a person has to decide on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show executions, newest first."""

    async def work(administration: Administration) -> int:
        workflow_id, missing = workflow, None
        if workflow is not None:
            try:
                workflow_id = await workflow_id_of(administration, workflow)
            except NotFound as error:  # the workflow is deleted, but its executions are found by its id
                missing = error
        if missing is not None and not (await administration.executions.page(Filter(workflow), 1))[0]:
            raise missing
        items: list[dict[str, Any]] = []
        before: str | None = None
        while len(items) < limit:  # a page of large documents ends early
            wanted = Filter(workflow_id, entity_type, entity_id, status, uncertain, before)
            page, before = await administration.executions.page(wanted, limit - len(items))
            items += page
            if before is None:
                break
        print_rows(items, _COLUMNS, as_json=as_json)
        return 0

    administer(config, work)


@app.command()
def show(execution_id: ExecutionId, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Show one execution whole, and its steps."""

    async def work(administration: Administration) -> int:
        document = await administration.executions.show(execution_id)
        document = {"id": document.pop("_id"), **document}
        if as_json:
            print_document(document, as_json=True)
            return 0
        steps = document.get("actions_executed")
        if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):  # edited by hand
            print_document(document, as_json=False)
            return 0
        print_document({key: value for key, value in document.items() if key != "actions_executed"}, as_json=False)
        columns = ("node", "action_type", "status", "attempts", "started_at", "executed_at", "result", "error")
        say("")
        print_rows(steps, {name: name for name in columns}, as_json=False)
        return 0

    administer(config, work)


@app.command()
def retry(execution_id: ExecutionId, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Run the failed steps again, and only those; a cancelled execution goes on where it stood."""
    _command(config, execution_id, Do.RETRY, as_json=as_json)


@app.command()
def cancel(execution_id: ExecutionId, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """End an execution that waits."""
    _command(config, execution_id, Do.CANCEL, as_json=as_json)


@app.command()
def resolve(
    execution_id: ExecutionId,
    outcome: Annotated[StepStatus, typer.Option("--as", help="success or failed.")],
    step: Annotated[str | None, typer.Option(help="Its node, such as 2, where more than one is uncertain.")] = None,
    config: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say how an uncertain step ended."""
    if outcome not in (StepStatus.SUCCESS, StepStatus.FAILED):
        raise typer.BadParameter("expected success or failed")
    _command(config, execution_id, Do.RESOLVE, outcome, step, as_json=as_json)


def _command(
    config: Path | None,
    execution_id: str,
    do: Do,
    outcome: StepStatus | None = None,
    node: str | None = None,
    *,
    as_json: bool,
) -> None:
    async def work(administration: Administration) -> int:
        status = await administration.executions.command(execution_id, do, outcome, node)
        print_document({"status": str(status)}, as_json=as_json)
        return 0

    administer(config, work)
