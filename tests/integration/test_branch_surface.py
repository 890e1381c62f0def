"""What people see of branches: the documentation's example, the timeline, dry runs, pages and commands."""

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from daemon.admin.plan import label_of, lines_of, plan_of
from tests.support.api import application, client_of
from tests.support.bench import Bench

PAGE = Path(__file__).parents[2] / "docs" / "BRANCHES.md"


def example() -> dict[str, Any]:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    document: dict[str, Any] = json.loads(block)
    return document


async def run_of(bench: Bench, lead: dict[str, Any]) -> dict[str, Any]:
    document = example()
    workflow_id = await bench.add(document.pop("trigger"), **document)
    await bench.leads.insert_one(lead)
    run = (await bench.ended(workflow_id, 1))[0]
    assert isinstance(run, dict)
    return run


@pytest.mark.parametrize(
    ("lead", "nodes", "reason"),
    [
        ({"score": 91, "email": "a@example.com"}, ["0", "0.cases.0.0", "1"], None),
        ({"score": 5}, ["0", "0.cases.1.0"], "nobody to write to"),
        ({"score": 5, "email": "a@example.com"}, ["0", "0.otherwise.0", "1"], None),
    ],
)
async def test_the_example_of_the_documentation_does_what_it_says(
    shared: Bench, lead: dict[str, Any], nodes: list[str], reason: str | None
) -> None:
    run = await run_of(shared, lead)
    assert [record["node"] for record in run["actions_executed"]] == nodes
    assert (run["status"], run.get("reason")) == ("completed", reason)


@pytest.fixture
async def client(shared: Bench) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application(shared.database)) as asking:
        yield asking


def text_of(page: httpx2.Response) -> str:
    """Return the words of a page."""
    assert page.status_code == 200
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page.text)).split())


async def test_the_page_of_an_execution_tells_the_way_that_was_taken_and_why(
    shared: Bench, client: httpx2.AsyncClient
) -> None:
    run = await run_of(shared, {"score": 91, "email": "a@example.com"})
    words = text_of(await client.get("/dashboard/execution", params={"id": str(run["_id"])}))
    assert "1. branch success" in words
    assert "Taken: hot (case 1). score greater_than 80, found 91: met." in words
    assert "1 › case 1 › 1. create_task success" in words
    assert "2. send_notification success" in words
    assert "otherwise" not in words.partition("The whole document")[0].partition("Parameters")[0]


async def test_the_page_of_a_workflow_shows_its_steps_as_a_tree(shared: Bench, client: httpx2.AsyncClient) -> None:
    run = await run_of(shared, {"score": 5})
    words = text_of(await client.get("/dashboard/workflow", params={"id": str(run["workflow_id"])}))
    assert "hot if score greater_than 80 create_task" in words
    assert "no address if email is_empty end" in words
    assert "otherwise create_task" in words


async def test_a_dry_run_tells_which_way_would_be_taken_and_why(shared: Bench, client: httpx2.AsyncClient) -> None:
    run = await run_of(shared, {"score": 5})
    asked = {"entity_id": str(run["triggered_by_entity_id"])}
    answer = await client.post(f"/workflows/{run['workflow_id']}/dry-run", json=asked)
    branch, end = answer.json()["steps"]
    assert (branch["would"], branch["taken"], branch["name"]) == ("take", "cases.1", "no address")
    assert [finding["verdict"] for finding in branch["findings"]] == ["not_met", "met"]
    assert (end["node"], end["would"], end["reason"]) == ("0.cases.1.0", "end", "nobody to write to")


async def test_a_wrong_step_deep_in_the_tree_is_told_with_its_path(client: httpx2.AsyncClient) -> None:
    document = example()
    document["actions"][0]["cases"][0]["actions"][0]["delay"] = "soon"
    answer = await client.post("/workflows/validate", json=document)
    assert "actions[0].cases[0].actions[0].delay" in answer.text


async def test_the_observed_error_names_the_place_in_the_tree(shared: Bench) -> None:
    document = example()
    document["actions"][0]["otherwise"][0]["title"] = 5
    workflow_id = await shared.add(document.pop("trigger"), **document)
    observed = await shared.observed(workflow_id, state="invalid")
    assert observed["error"].startswith("actions[0].otherwise[0].title: ")


def test_a_definition_is_told_as_an_indented_list() -> None:
    rows = [(row["node"], row["step"], row.get("when")) for row in lines_of(plan_of(example()["actions"]))]
    assert rows == [
        ("0", "1. branch", ""),
        ("0.cases.0", "  cases.0 (hot):", "score greater_than 80"),
        ("0.cases.0.0", "    1. create_task", ""),
        ("0.cases.1", "  cases.1 (no address):", "email is_empty"),
        ("0.cases.1.0", "    1. end", ""),
        ("0.otherwise", "  otherwise:", ""),
        ("0.otherwise.0", "    1. create_task", ""),
        ("1", "2. send_notification", ""),
    ]


def test_a_plan_takes_whatever_a_document_holds_in_the_place_of_steps() -> None:
    odd: Any = [
        7,
        {"type": "branch", "cases": [None, {"conditions": [{"any": [5, []]}]}], "otherwise": "x"},
        {"type": []},
    ]
    assert next(row["step"] for row in lines_of(plan_of(odd))) == "1. 7"
    assert plan_of(None) == []


@pytest.mark.parametrize(
    ("node", "label"), [("0", "1"), ("2.cases.0.1", "3 › case 1 › 2"), ("2.otherwise.0", "3 › otherwise › 1")]
)
def test_a_node_has_a_name_that_people_count_along(node: str, label: str) -> None:
    assert label_of(node) == label
