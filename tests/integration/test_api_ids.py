"""Whatever type an id has: what is listed can be asked for by what was listed, over HTTP and on pages."""

import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.collation import Collation

from daemon.admin.administration import administration_of
from daemon.admin.identifier import id_text
from daemon.commands.workflow import workflow_id_of
from daemon.versions.parsing import parser_for
from rules.value import is_equal
from tests.support.api import TASK_FOR_LEADS, application, client_of
from tests.support.settings import settings_for

pytestmark = pytest.mark.tampers  # the executions are made by hand

Database = AsyncDatabase[dict[str, Any]]
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
IDS: list[Any] = [
    *(ObjectId("65f000000000000000000001"), "65f000000000000000000001", 5, "5", Int64(2**60), -7, 2.5, "2.5"),
    *(Decimal128("0.1"), Decimal128("NaN"), float("inf"), Binary(UUID(int=7).bytes, 4), str(UUID(int=7)), b"\x01"),
    *(NOW, Timestamp(1, 2), True, None, "null", "", ".", "..", "a/b", "a%2Fb", "a?b#c", "ação 🎉", '"', "{}", "a\nb"),
    *({"a": 1, "b": "x"}, "validate", "activate", "x" * 3_000),
]


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application(database)) as asking:
        yield asking


def part(text: str) -> str:
    return quote(text, safe="")


async def test_a_workflow_of_any_id_is_found_by_what_the_list_says(
    client: httpx2.AsyncClient, database: Database
) -> None:
    names = {id_text(each): f"number {number}" for number, each in enumerate(IDS)}
    workflows = [{"_id": each, **TASK_FOR_LEADS, "name": names[id_text(each)]} for each in IDS]
    await database["workflows"].insert_many(workflows)
    listed = (await client.get("/workflows")).json()
    assert {each["id"]: each["name"] for each in listed} == names
    for each in listed:
        path = f"/workflows/{part(each['id'])}"
        shown = await client.get(path)
        assert (shown.status_code, shown.json().get("name")) == (200, each["name"]), each
        assert shown.json()["id"] == each["id"]
        sent_back = await client.put(path, json=shown.json(), headers={"If-Match": shown.headers["etag"]})
        assert (sent_back.status_code, sent_back.json().get("name")) == (200, each["name"]), sent_back.text
        assert (await client.put(f"{path}/pause")).json() == {"status": "paused"}
        assert (await client.get(f"{path}/executions")).json() == []
    page = (await client.get("/")).text
    links = [html.unescape(link) for link in re.findall(r'href="(/dashboard/workflow\?id=[^"]+)"', page)]
    assert len(links) == len(IDS)
    for link in links:
        assert (await client.get(link)).status_code == 200, link
    assert await database["workflows"].count_documents({"status": "paused"}) == len(IDS)


async def test_workflows_of_any_ids_are_listed_page_by_page(client: httpx2.AsyncClient, database: Database) -> None:
    await database["workflows"].insert_many([{"_id": each, **TASK_FOR_LEADS} for each in IDS])
    found: list[str] = []
    url = "/workflows?limit=4"
    while url:
        answer = await client.get(url)
        found += [each["id"] for each in answer.json()]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert sorted(found) == sorted(map(id_text, IDS))


async def test_an_entity_of_any_id_is_found_by_what_lists_say(client: httpx2.AsyncClient, database: Database) -> None:
    workflow = {"_id": 1, **TASK_FOR_LEADS}
    await database["workflows"].insert_one(workflow)
    for seq, each in enumerate(IDS):
        await database["leads"].insert_one({"_id": each, "source": "website_form"})
        ran = {"seq": seq, "workflow_id": 1, "triggered_by_entity_type": "lead", "triggered_by_entity_id": each}
        await database["workflow_executions"].insert_one({**ran, "triggered_at": NOW, "status": "completed"})
        why = {"entity_type": "lead", "entity_id": each, "at": NOW, "entries": [{"workflow_id": 1, "reason": "paused"}]}
        await database["workflow_decisions"].insert_one(why)
    listed = (await client.get("/executions?limit=100")).json()["items"]
    assert [each["entity_id"] for each in listed] == [id_text(each) for each in reversed(IDS)]
    for each in listed:
        asked = {"entity_id": each["entity_id"]}
        (found,) = (await client.get("/executions", params=asked)).json()["items"]
        assert found["id"] == each["id"]
        (decision,) = (await client.get("/decisions", params=asked)).json()
        assert decision["entity_id"] == each["entity_id"]
        told = await client.get("/workflows/1/explain", params=asked)
        assert told.status_code == 200, told.text
        assert told.json()["entity"]["id"] == each["entity_id"]
        assert (await client.post("/workflows/1/dry-run", json=asked)).status_code == 200
        assert (await client.get("/dashboard/why", params={**asked, "workflow_id": "1"})).status_code == 200
    page = (await client.get("/dashboard/executions")).text
    for link in re.findall(r'href="(/dashboard/why\?[^"]+)"', page):
        assert "paused" in (await client.get(html.unescape(link))).text, link


async def test_an_execution_of_any_id_is_found_by_what_the_list_says(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database["workflow_executions"].insert_many([{"_id": each, "status": "completed"} for each in IDS])
    found: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = (await client.get("/executions", params={"limit": "7", **before})).json()
        found += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert sorted(found) == sorted(map(id_text, IDS))
    for each in found:
        shown = await client.get(f"/executions/{part(each)}")
        assert (shown.status_code, shown.json().get("id")) == (200, each), shown.text
        assert (await client.post(f"/executions/{part(each)}/retry")).status_code == 409
        assert (await client.get("/dashboard/execution", params={"id": each})).status_code == 200


async def test_a_text_and_a_number_are_told_apart_where_both_are_there(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database["workflows"].insert_many([{"_id": each, **TASK_FOR_LEADS, "name": repr(each)} for each in (5, "5")])
    for text, name in (("5", "5"), ('"5"', "'5'"), ('{"$numberInt":"5"}', "5"), ('{"$numberDecimal":"5"}', "5")):
        assert (await client.get(f"/workflows/{part(text)}")).json()["name"] == name
    await database["workflows"].delete_one({"_id": 5})
    assert (await client.get("/workflows/5")).json()["name"] == "'5'"


async def test_the_command_line_reads_ids_alike(database: Database) -> None:
    settings = settings_for("mongodb://unused", database.name)
    administration = administration_of(database, settings, parser_for(settings), lambda: NOW)
    await database["workflows"].insert_many([{"_id": each, **TASK_FOR_LEADS, "name": f"no {each}"} for each in IDS])
    for each in IDS:
        assert await workflow_id_of(administration, id_text(each)) == id_text(each)
        found = await administration.workflows.show(id_text(each))
        assert is_equal(found["_id"], each)


async def test_which_ids_are_the_same_is_the_collections_affair(client: httpx2.AsyncClient, database: Database) -> None:
    await database.create_collection("leads", collation=Collation("en", strength=2))
    await database["leads"].insert_one({"_id": "ABC", "source": "website_form"})
    await database["workflows"].insert_one({"_id": 1, **TASK_FOR_LEADS})
    told = await client.get("/workflows/1/explain?entity_id=abc")
    assert (told.status_code, told.json()["entity"]["id"]) == (200, "ABC")
