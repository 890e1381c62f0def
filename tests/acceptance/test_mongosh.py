"""The recipes of the README, each run by the real mongosh as it stands on the page. A missing mongosh fails."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from actions.context import Context
from actions.outcome import Done, Fail, Outcome, Uncertain
from tests.support.bench import TASK, Bench, created, running_bench
from tests.support.poll import eventually
from tests.support.shell import Shell
from tests.support.stage import Stage

PAGE: Final = Path(__file__).parents[2] / "README.md"
NAME: Final = "Welcome new leads"
STEP: Final = {"type": "local", "name": "step"}


def recipes() -> dict[str, str]:
    """Return heading → recipe, for every section of the page that has one."""
    sections = re.split("\n##+ ", PAGE.read_text())
    return {each.split("\n")[0]: each.split("```js\n")[1].split("```")[0] for each in sections if "```js" in each}


RECIPES: Final = recipes()


class Cook:
    """Runs recipes in the database of a test."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def run(self, heading: str) -> Any:
        """Return what the last line of a recipe says."""
        return await self._shell.run(RECIPES[heading])


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def bench(mongo_uri: str, database: AsyncDatabase[dict[str, Any]], stage: Stage) -> AsyncIterator[Bench]:
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action) as running:
        yield running


@pytest.fixture
def shell(mongo_uri: str, bench: Bench, tmp_path: Path) -> Cook:
    return Cook(Shell(mongo_uri.replace("/?", f"/{bench.database.name}?"), tmp_path))


async def ana(bench: Bench, **fields: Any) -> Any:
    return (await bench.leads.insert_one({"email": "ana@example.com", **fields})).inserted_id


async def becomes(bench: Bench, workflow_id: Any, status: str) -> None:
    async def look() -> bool:
        found = await bench.executions.find({"workflow_id": workflow_id}).to_list()
        assert {run["status"] for run in found} == {status}, found
        return True

    await eventually(look)


def ends(stage: Stage, outcome: Outcome) -> None:
    async def act(context: Context) -> Outcome:
        return outcome

    stage.plays("step", act)


async def test_workflows_are_made_listed_and_toggled(bench: Bench, shell: Cook) -> None:
    made = await shell.run("A workflow")
    workflow_id = ObjectId(made["insertedId"]["$oid"])
    await bench.observed(workflow_id, state="active")
    listed = await shell.run("See all workflows")
    assert [each["observed"] for each in listed if each["name"] == NAME] == [{"state": "active", "error": None}]
    observed = await shell.run("Toggle a workflow")
    assert (observed["state"], observed["error"]) == ("paused", None)


async def test_a_workflow_is_run_by_hand_and_the_answer_is_read(bench: Bench, shell: Cook) -> None:
    await ana(bench)
    workflow_id = await bench.add({"type": "manual", "entity_type": "lead"}, name=NAME)
    answer = await shell.run("Run a workflow by hand")
    assert answer["status"] == "accepted"
    (run,) = await bench.ended(workflow_id, 1)
    assert str(run["_id"]) == answer["execution_id"]["$oid"]


async def test_what_failed_is_found_and_retried(bench: Bench, shell: Cook, stage: Stage) -> None:
    ends(stage, Fail("mailbox unavailable"))
    workflow_id = await bench.add(created(), name=NAME, actions=[STEP])
    await bench.leads.insert_one({})
    await bench.ended(workflow_id, 1)
    (found,) = await shell.run("Find what failed")
    assert found["actions_executed"] == [{"error": "mailbox unavailable"}]
    ends(stage, Done({}))
    await shell.run("Retry an execution")
    await becomes(bench, workflow_id, "completed")


async def test_everything_of_a_workflow_is_retried(bench: Bench, shell: Cook, stage: Stage) -> None:
    ends(stage, Fail("mailbox unavailable"))
    workflow_id = await bench.add(created(), name=NAME, actions=[STEP])
    await bench.leads.insert_many([{}, {}, {}])
    await bench.ended(workflow_id, 3)
    ends(stage, Done({}))
    assert (await shell.run("Retry everything of a workflow"))["modifiedCount"] == 3
    await becomes(bench, workflow_id, "completed")


async def test_what_is_uncertain_is_found_and_resolved(bench: Bench, shell: Cook, stage: Stage) -> None:
    ends(stage, Uncertain("the connection broke"))
    workflow_id = await bench.add(created(), name=NAME, actions=[STEP])
    await bench.leads.insert_one({})
    await bench.ended(workflow_id, 1)
    (found,) = await shell.run("Find what is uncertain")
    assert found["workflow_name"] == NAME
    await shell.run("Resolve an uncertain step")
    await becomes(bench, workflow_id, "completed")


async def test_what_waits_is_seen_in_the_queue_and_cancelled(bench: Bench, shell: Cook) -> None:
    workflow_id = await bench.add(created(), name=NAME, actions=[{**TASK, "delay": "1h"}])
    await ana(bench)
    await bench.taken_in()
    (upcoming,) = await shell.run("See the queue")
    assert upcoming["workflow_name"] == NAME
    await shell.run("Cancel an execution")
    (run,) = await bench.ended(workflow_id, 1)
    assert (run["status"], "due_at" in run) == ("cancelled", False)


async def test_it_is_told_why_it_did_not_fire(bench: Bench, shell: Cook) -> None:
    asks = [{"field": "source", "operator": "equals", "value": "website_form"}]
    await bench.add(created(), name=NAME, conditions=asks)
    await ana(bench, source="import")
    await bench.taken_in()
    (decision,) = await shell.run("See why it did not fire")
    (condition,) = decision["conditions"]
    assert (decision["reason"], condition["expected"], condition["actual"]) == (
        "condition_not_met",
        "website_form",
        "import",
    )


async def test_lost_history_is_acknowledged(bench: Bench, shell: Cook) -> None:
    now = datetime.now(UTC)
    gap = {"_id": "gap/7-1", "kind": "gap", "from": now, "to": now, "policy": "halt", "acknowledged": False}
    await bench.state.insert_one(gap)
    assert (await shell.run("Acknowledge lost history"))["modifiedCount"] == 1


def test_every_recipe_of_the_page_is_tried() -> None:
    source = Path(__file__).read_text()
    assert len(RECIPES) == PAGE.read_text().count("```js")
    assert [heading for heading in RECIPES if f'run("{heading}")' not in source] == []
