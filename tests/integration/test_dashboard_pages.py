"""What the pages tell, from documents as the daemon writes them and as people leave them."""

import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from daemon.admin.activity import Activity
from daemon.admin.execution import ExecutionAdmin
from daemon.admin.timeline import Timeline
from daemon.executions.intervention import Interventions
from tests.support.api import TASK_FOR_LEADS, application, client_of
from tests.support.settings import settings_for
from tests.support.watchdog import least_stall

pytestmark = pytest.mark.tampers  # the executions are made by hand

Database = AsyncDatabase[dict[str, Any]]
NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = settings_for("mongodb://unused", "crm").collections


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application(database)) as asking:
        yield asking


async def ran(database: Database, workflow_id: Any, at: datetime = NOW, **fields: Any) -> ObjectId:
    """Store an execution of a workflow of three actions; return its id."""
    execution_id = ObjectId(ObjectId.from_datetime(at).binary[:4] + ObjectId().binary[4:])
    actions = [{"type": "create_task", "title": "One"}, {"type": "remote", "delay": "5m"}, {"type": "last"}]
    version = {"workflow_id": workflow_id, "version": 1}
    await database["workflow_versions"].update_one(
        {"_id": version}, {"$set": {**version, "definition": {"actions": actions}}}, upsert=True
    )
    await database["workflow_executions"].insert_one(
        {
            "_id": execution_id,
            "seq": 1,
            "workflow_id": workflow_id,
            "workflow_name": "Call",
            "workflow_version": 1,
            "triggered_at": at,
            "status": "completed",
            "actions_executed": [],
            "step": 0,
            "attempt": 0,
            **fields,
        }
    )
    return execution_id


def timeline(database: Database) -> Timeline:
    executions = ExecutionAdmin(database, NAMES, Interventions(database, NAMES, lambda: NOW))
    return Timeline(database, NAMES, executions)


async def test_a_list_of_thousands_of_workflows_does_not_hold_up_the_event_loop(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database["workflows"].insert_many([{**TASK_FOR_LEADS, "name": f"Number {each}"} for each in range(2_500)])
    page = await client.get("/")  # templates are read once
    assert page.text.count('scope="row"') == 100
    (more,) = re.findall(r'href="(/\?after=[^"]+)">More', page.text)
    assert set(re.findall(r"Number \d+", (await client.get(more)).text)).isdisjoint(
        re.findall(r"Number \d+", page.text)
    )
    assert await least_stall(lambda: client.get("/"), 0.05) < 0.05


async def test_runs_are_counted_by_hour_and_workflow(database: Database) -> None:
    workflow_id = (await database["workflows"].insert_one(dict(TASK_FOR_LEADS))).inserted_id
    await database["workflows"].insert_one(dict(TASK_FOR_LEADS))
    for hours in (0, 0, 2, 23, 24, 48):
        await ran(database, workflow_id, NOW - timedelta(hours=hours), status="failed" if hours == 2 else "completed")
    (busy, quiet), _ = await Activity(database, NAMES, lambda: NOW).workflows(10)
    assert [(hour["runs"], hour["failed"]) for hour in busy["hours"]] == [
        (1, 0),
        *[(0, 0)] * 20,
        (1, 1),
        (0, 0),
        (2, 0),
    ]
    assert sum(hour["runs"] for hour in quiet["hours"]) == 0


async def test_the_last_failure_of_a_workflow_is_its_newest(database: Database) -> None:
    workflow_id = (await database["workflows"].insert_one(dict(TASK_FOR_LEADS))).inserted_id
    for seq in (1, 3, 2):
        failed = {"action_type": "create_task", "status": "failed", "error": f"error {seq}"}
        await ran(database, workflow_id, seq=seq, status="failed", actions_executed=[failed])
    (workflow,), _ = await Activity(database, NAMES, lambda: NOW).workflows(10)
    assert workflow["last_failure"]["steps"][0]["error"] == "error 3"


async def test_a_timeline_tells_waits_ends_and_what_is_to_come(database: Database) -> None:
    first = {
        "action_type": "create_task",
        "status": "success",
        "attempts": 1,
        "started_at": NOW + timedelta(seconds=2),
        "executed_at": NOW + timedelta(seconds=3),
    }
    due_at = NOW + timedelta(minutes=5)
    waiting: dict[str, Any] = {
        "status": "waiting",
        "step": 1,
        "due_at": due_at,
        "actions_executed": [first],
        "last_error": "busy",
        "postponed": {"reason": "the line is full", "until": due_at, "since": NOW, "times": 2},
    }
    execution_id = await ran(database, ObjectId(), NOW, **waiting)
    steps = (await timeline(database).of(str(execution_id)))["steps"]
    assert [step["status"] for step in steps] == ["success", "next", "later"]
    assert (steps[0]["waited"], steps[0]["parameters"]) == (timedelta(seconds=2), {"title": "One"})
    assert (steps[1]["due_at"], steps[1]["error"]) == (due_at, "busy")
    assert steps[1]["postponed"] == waiting["postponed"]


async def test_steps_that_an_ended_execution_did_not_reach_never_ran(database: Database) -> None:
    failed = {"action_type": "create_task", "status": "failed", "error": "no"}
    execution_id = await ran(database, ObjectId(), status="failed", actions_executed=[failed])
    steps = (await timeline(database).of(str(execution_id)))["steps"]
    assert [step["status"] for step in steps] == ["failed", "never", "never"]


async def test_the_cause_chain_is_told_oldest_first(database: Database) -> None:
    first = await ran(database, ObjectId(), cause={"depth": 0, "chain": []}, workflow_name="First")
    second = await ran(database, ObjectId(), cause={"depth": 1, "execution_id": first}, workflow_name="Second")
    third = await ran(database, ObjectId(), cause={"depth": 2, "execution_id": second})
    causes = (await timeline(database).of(str(third)))["causes"]
    assert [(cause["id"], cause["workflow_name"]) for cause in causes] == [(first, "First"), (second, "Second")]


async def test_documents_that_people_have_broken_are_shown_all_the_same(
    database: Database, client: httpx2.AsyncClient
) -> None:
    workflow_id = ObjectId()
    broken: dict[str, Any] = {"name": 5, "trigger": "now", "observed": [], "status": 7, "last_executed_at": "today"}
    await database["workflows"].insert_one({"_id": workflow_id, **broken})
    await database["workflow_executions"].insert_one({"_id": ObjectId(), "status": "failed", "actions_executed": "all"})
    odd = await ran(database, workflow_id, status="failed", cause=3, actions_executed=[None, 7], triggered_at=[])
    await database["workflow_executions"].insert_one({"_id": ObjectId("f" * 24), "workflow_id": workflow_id})
    pages = ("/", f"/dashboard/workflow?id={workflow_id}", f"/dashboard/execution?id={odd}", "/dashboard/attention")
    for page in (*pages, "/dashboard/executions", "/dashboard/operation"):
        assert (await client.get(page)).status_code == 200, page


async def test_what_does_not_exist_is_answered_by_a_page(client: httpx2.AsyncClient) -> None:
    for page in ("workflow?id=none", f"execution?id={ObjectId()}"):
        answer = await client.get(f"/dashboard/{page}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_a_gap_is_acknowledged(database: Database, client: httpx2.AsyncClient) -> None:
    gap = {"_id": "gap/7-1", "kind": "gap", "from": NOW, "to": NOW, "policy": "halt", "acknowledged": False}
    await database["workflow_state"].insert_one(gap)
    assert "Acknowledge" in (await client.get("/dashboard/operation")).text
    answer = await client.post("/dashboard/gap", data={"which": "7-1", "back": "/dashboard/operation"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/operation")
    assert await database["workflow_state"].count_documents({"acknowledged": True}) == 1
    assert "Acknowledge<" not in (await client.get("/dashboard/operation")).text


async def test_executions_are_found_by_entity_and_status(database: Database, client: httpx2.AsyncClient) -> None:
    wanted = await ran(database, ObjectId(), triggered_by_entity_id="ana", status="failed")
    await ran(database, ObjectId(), triggered_by_entity_id="ana")
    await ran(database, ObjectId(), triggered_by_entity_id="bo", status="failed")
    page = (await client.get("/dashboard/executions?entity_id=ana&status=failed")).text
    assert page.count('<tr id="execution-') == 1
    assert f"execution-{wanted}" in page


async def test_the_page_of_an_execution_tells_the_whole_error(database: Database, client: httpx2.AsyncClient) -> None:
    error = f"550 {'x' * 400} the end"
    failed = {"action_type": "create_task", "status": "failed", "error": error}
    execution_id = await ran(database, ObjectId(), status="failed", actions_executed=[failed])
    page = (await client.get(f"/dashboard/execution?id={execution_id}")).text
    assert f'<p class="error">{error}</p>' in page


async def test_the_page_of_an_invalid_workflow_tells_the_whole_error(
    database: Database, client: httpx2.AsyncClient
) -> None:
    error = f"conditions[0].operator: expected {'one of many, ' * 30}found eqals"
    observed = {"state": "invalid", "error": error}
    inserted = await database["workflows"].insert_one({**TASK_FOR_LEADS, "observed": observed})
    assert error in (await client.get(f"/dashboard/workflow?id={inserted.inserted_id}")).text


@pytest.mark.parametrize(("status", "is_offered"), [("uncertain", False), ("failed", True)])
async def test_a_retry_is_offered_only_where_nothing_is_uncertain(
    database: Database, client: httpx2.AsyncClient, status: str, is_offered: bool
) -> None:
    record = {"action_type": "create_task", "status": status, "error": "no"}
    execution_id = await ran(database, ObjectId(), status="failed", actions_executed=[record])
    page = (await client.get(f"/dashboard/execution?id={execution_id}")).text
    assert (">Retry</button>" in page) is is_offered


async def test_what_did_not_run_for_an_entity_that_is_gone_is_told_and_judged_again(
    database: Database, client: httpx2.AsyncClient
) -> None:
    workflow_id = (await database["workflows"].insert_one(dict(TASK_FOR_LEADS))).inserted_id
    entry = {"workflow_id": workflow_id, "workflow_name": "Call", "reason": "paused"}
    decision = {"kind": "change", "entity_type": "lead", "entity_id": "gone", "change": "created", "at": NOW}
    await database["workflow_decisions"].insert_one({**decision, "entries": [entry]})
    asked = f"/dashboard/why?entity_id=gone&workflow_id={workflow_id}"
    page = (await client.get(asked)).text
    assert "lead gone: there is none with this id in leads" in page
    (again,) = re.findall(r'href="(/dashboard/why[^"]*at=[^"]*)"', page)
    past = (await client.get(html.unescape(again))).text
    assert "did not run for it" in past
    assert (await client.get(f"{asked}&at=never")).status_code == 400


async def test_a_name_that_is_too_long_is_cut_in_the_list(database: Database, client: httpx2.AsyncClient) -> None:
    await database["workflows"].insert_one({**TASK_FOR_LEADS, "name": "y" * 3000})
    page = (await client.get("/")).text
    (shown,) = re.findall(">(y+…?)</a>", page)
    assert shown == "y" * 200 + "…"
