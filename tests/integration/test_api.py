"""The HTTP API as its users see it: shapes to the letter, errors that name the field, edits that do not collide."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from bson import ObjectId, Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from config.error import HistoryLost
from config.settings import HistoryLostPolicy
from daemon.stream.gap import record_gap
from tests.support.api import TASK_FOR_LEADS, application, client_of

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application(database)) as asking:
        yield asking


async def created(client: httpx2.AsyncClient, **changes: Any) -> str:
    answer = await client.post("/workflows", json={**TASK_FOR_LEADS, **changes})
    assert answer.status_code == 201, answer.text
    workflow_id: str = answer.json()["id"]
    return workflow_id


async def executions(database: Database, workflow_id: str, count: int, **fields: Any) -> list[ObjectId]:
    """Store ended executions, the last one newest; return their ids in that order."""
    began = datetime(2026, 5, 4, tzinfo=UTC)
    documents = [
        {
            "_id": ObjectId(),
            "seq": number,
            "workflow_id": ObjectId(workflow_id),
            "workflow_version": 1,
            "triggered_by_entity_type": "lead",
            "triggered_by_entity_id": number,
            "triggered_at": began + timedelta(seconds=number),
            "status": "completed",
            "actions_executed": [{"action_type": "create_task", "status": "success"}],
            "step": 1,
            "attempt": 0,
            "completed_at": began,
            **fields,
        }
        for number in range(count)
    ]
    await database["workflow_executions"].insert_many(documents)
    return [document["_id"] for document in documents]


async def test_a_new_workflow_is_answered_with_its_id_and_listed_in_four_words(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/workflows", json=TASK_FOR_LEADS)
    assert list(answer.json()) == ["id"]
    listed = await client.get("/workflows")
    expected = {"id": answer.json()["id"], "name": "Call new leads", "status": "active", "execution_count": 0}
    assert listed.json() == [expected]


@pytest.mark.parametrize(
    ("verb", "word", "status"),
    [
        ("activate", "activated", "active"),
        ("pause", "paused", "paused"),
        ("drain", "draining", "draining"),
        ("stop", "stopped", "stopped"),
    ],
)
async def test_a_switch_answers_with_what_it_did(client: httpx2.AsyncClient, verb: str, word: str, status: str) -> None:
    workflow_id = await created(client)
    answer = await client.put(f"/workflows/{workflow_id}/{verb}")
    assert (answer.status_code, answer.json()) == (200, {"status": word})
    assert (await client.get(f"/workflows/{workflow_id}")).json()["status"] == status


@pytest.mark.tampers
async def test_executions_of_a_workflow_come_newest_first_in_four_words(
    client: httpx2.AsyncClient, database: Database
) -> None:
    workflow_id = await created(client)
    ids = await executions(database, workflow_id, 25)
    answer = (await client.get(f"/workflows/{workflow_id}/executions")).json()
    assert [each["id"] for each in answer] == [str(each) for each in reversed(ids)][:20]
    assert answer[0] == {
        "id": str(ids[-1]),
        "status": "completed",
        "triggered_at": "2026-05-04T00:00:24.000Z",
        "actions_count": 1,
    }
    few = (await client.get(f"/workflows/{workflow_id}/executions", params={"limit": 3})).json()
    assert len(few) == 3


async def test_a_workflow_that_is_wrong_is_refused_with_the_path_of_the_error(client: httpx2.AsyncClient) -> None:
    wrong = {**TASK_FOR_LEADS, "actions": [{"type": "create_task", "delay": "5x"}]}
    answer = await client.post("/workflows", json=wrong)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == "actions[0].delay"
    assert (await client.get("/workflows")).json() == []


async def test_validating_saves_nothing(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/workflows/validate", json=TASK_FOR_LEADS)).json() == {"valid": True, "errors": []}
    theirs = await client.post("/workflows/validate", json={**TASK_FOR_LEADS, "__v": 1})
    assert theirs.json() == {"valid": True, "errors": [], "ignored": ["__v"]}
    wrong = (await client.post("/workflows/validate", json={**TASK_FOR_LEADS, "trigger": 7})).json()
    assert (wrong["valid"], wrong["errors"][0]["field"]) == (False, "trigger")
    assert (await client.get("/workflows")).json() == []


async def test_what_was_read_can_be_sent_back(client: httpx2.AsyncClient, database: Database) -> None:
    owner = ObjectId()
    condition = {"field": "owner", "operator": "equals", "value": {"$oid": str(owner)}}
    workflow_id = await created(client, conditions=[condition])
    await database["workflows"].update_one({}, {"$set": {"observed": {"state": "active"}, "execution_count": 7}})
    document = (await client.get(f"/workflows/{workflow_id}")).json()
    answer = await client.put(f"/workflows/{workflow_id}", json={**document, "name": "Renamed"})
    assert answer.status_code == 200, answer.text
    stored = await database["workflows"].find_one({}) or {}
    assert (stored["name"], stored["execution_count"], stored["observed"]) == ("Renamed", 7, {"state": "active"})
    assert stored["conditions"][0]["value"] == owner


async def test_a_replacement_without_a_status_leaves_the_switch_alone(client: httpx2.AsyncClient) -> None:
    workflow_id = await created(client, status="paused")
    assert (await client.put(f"/workflows/{workflow_id}", json=TASK_FOR_LEADS)).json()["status"] == "paused"


@pytest.mark.parametrize(
    "body", [{"$numberDecimal": "1"}, {"$regularExpression": {"pattern": "a", "options": ""}}, {"$ref": "a", "$id": 1}]
)
async def test_an_object_that_stands_for_another_value_is_no_workflow(
    client: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    path = f"/workflows/{await created(client)}"
    validity = (await client.post("/workflows/validate", json=body)).json()
    assert (validity["valid"], validity["errors"][0]["field"]) == (False, "body")
    for method, where in (("PATCH", path), ("PUT", path), ("POST", "/workflows")):
        answer = await client.request(method, where, json=body)
        assert (answer.status_code, answer.json()["detail"][:31]) == (400, "body: expected an object, found")


async def test_a_patch_changes_what_it_names_and_takes_out_what_is_null(client: httpx2.AsyncClient) -> None:
    workflow_id = await created(client, description="old")
    patch = {"description": None, "trigger": {"entity_type": "deal"}}
    document = (await client.patch(f"/workflows/{workflow_id}", json=patch)).json()
    assert "description" not in document
    assert document["trigger"] == {"type": "entity_created", "entity_type": "deal"}


async def test_an_edit_based_on_an_older_version_is_refused(client: httpx2.AsyncClient) -> None:
    workflow_id = await created(client)
    tag = (await client.get(f"/workflows/{workflow_id}")).headers["etag"]
    first = await client.patch(f"/workflows/{workflow_id}", json={"name": "Ana's"}, headers={"If-Match": tag})
    second = await client.patch(f"/workflows/{workflow_id}", json={"name": "Rui's"}, headers={"If-Match": tag})
    assert (first.status_code, second.status_code) == (200, 412)
    assert (await client.get(f"/workflows/{workflow_id}")).json()["name"] == "Ana's"
    assert first.headers["etag"] != tag


async def test_counters_of_the_daemon_do_not_change_the_tag(client: httpx2.AsyncClient, database: Database) -> None:
    workflow_id = await created(client)
    tag = (await client.get(f"/workflows/{workflow_id}")).headers["etag"]
    await database["workflows"].update_one({}, {"$inc": {"execution_count": 1}})
    assert (await client.get(f"/workflows/{workflow_id}")).headers["etag"] == tag


async def test_a_deleted_workflow_is_gone(client: httpx2.AsyncClient) -> None:
    workflow_id = await created(client)
    assert (await client.delete(f"/workflows/{workflow_id}")).status_code == 204
    gone = await client.get(f"/workflows/{workflow_id}")
    assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("given", [{"$ne": None}, ["a"], 7, None])
async def test_an_id_that_is_no_text_is_refused(client: httpx2.AsyncClient, given: Any) -> None:
    workflow_id = await created(client)
    answer = await client.post(f"/workflows/{workflow_id}/run", json={"entity_id": given})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "body.entity_id")


async def test_an_operator_in_the_place_of_an_id_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.get('/workflows/{"$ne": null}')).status_code == 400


@pytest.mark.parametrize("key", ["$where", "a\0b"])
async def test_no_key_of_a_workflow_can_act_as_an_operator(client: httpx2.AsyncClient, key: str) -> None:
    condition = {"field": "a", "operator": "equals", "value": {key: 1}}
    answer = await client.post("/workflows", json={**TASK_FOR_LEADS, "conditions": [condition]})
    assert answer.status_code == 400


@pytest.mark.parametrize("value", [10**400, "\ud800"])
async def test_a_value_that_cannot_be_stored_is_refused(client: httpx2.AsyncClient, value: Any) -> None:
    condition = {"field": "a", "operator": "equals", "value": value}
    body = json.dumps({**TASK_FOR_LEADS, "conditions": [condition]})
    answer = await client.post("/workflows", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "conditions[0].value")


@pytest.mark.parametrize("depth", [80, 100_000])
async def test_json_that_is_too_deep_is_refused(client: httpx2.AsyncClient, depth: int) -> None:
    body = '{"name":' + "[" * depth + "]" * depth + "}"
    answer = await client.post("/workflows", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


async def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(client: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    announced = await client.post("/workflows", content=b"x" * 2_000_000)
    grown = await client.post("/workflows", content=endless())
    assert (announced.status_code, grown.status_code) == (413, 413)


@pytest.mark.tampers
async def test_executions_are_found_by_filter_page_by_page(client: httpx2.AsyncClient, database: Database) -> None:
    workflow_id = await created(client)
    ids = await executions(database, workflow_id, 5)
    await executions(database, workflow_id, 1, status="held", seq=9)
    wanted = {"workflow_id": workflow_id, "status": "completed", "limit": "3"}
    first = (await client.get("/executions", params=wanted)).json()
    second = (await client.get("/executions", params={**wanted, "before": first["next"]})).json()
    assert {each["id"] for each in first["items"] + second["items"]} == {str(each) for each in ids}
    assert second["next"] is None
    held = (await client.get("/executions", params={"status": "held"})).json()
    assert len(held["items"]) == 1


@pytest.mark.tampers
async def test_one_execution_is_shown_whole(client: httpx2.AsyncClient, database: Database) -> None:
    (execution_id,) = await executions(database, await created(client), 1)
    document = (await client.get(f"/executions/{execution_id}")).json()
    assert document["id"] == str(execution_id)
    assert document["actions_executed"][0]["action_type"] == "create_task"


@pytest.mark.tampers
async def test_a_command_that_cannot_be_carried_out_says_why(client: httpx2.AsyncClient, database: Database) -> None:
    (execution_id,) = await executions(database, await created(client), 1)
    answer = await client.post(f"/executions/{execution_id}/cancel")
    assert (answer.status_code, answer.json()["detail"]) == (409, "it has ended already: completed")
    missing = await client.post(f"/executions/{ObjectId()}/retry")
    assert missing.status_code == 404


async def test_decisions_are_found_by_entity(client: httpx2.AsyncClient, database: Database) -> None:
    entity_id = ObjectId()
    entry = {"workflow_id": ObjectId(), "reason": "paused"}
    decision = {"entity_type": "lead", "entity_id": entity_id, "at": datetime.now(UTC), "entries": [entry]}
    await database["workflow_decisions"].insert_one(decision)
    (found,) = (await client.get("/decisions", params={"entity_id": str(entity_id)})).json()
    assert found["entries"][0]["reason"] == "paused"


async def test_a_gap_can_be_acknowledged_once_it_exists(client: httpx2.AsyncClient, database: Database) -> None:
    now = datetime.now(UTC)
    lost = HistoryLost("the stream position is no longer in the oplog")
    await record_gap(database["workflow_state"], Timestamp(1_764_000_000, 7), now, HistoryLostPolicy.HALT, lost, None)
    (gap,) = (await client.get("/status")).json()["gaps"]
    assert gap["acknowledged"] is False
    answer = await client.post(f"/gaps/{gap['id']}/acknowledge")
    assert answer.json() == {"id": gap["id"], "acknowledged": True}
    assert (await client.post("/gaps/8-1/acknowledge")).status_code == 404
    (gap,) = (await client.get("/status")).json()["gaps"]
    assert gap["acknowledged"] is True


async def test_a_dry_run_says_what_would_happen_and_does_nothing(
    client: httpx2.AsyncClient, database: Database
) -> None:
    workflow_id = await created(client, actions=[{"type": "create_task", "title": "Call {{ name }}"}])
    lead_id = (await database["leads"].insert_one({"name": "Ada", "source": "website_form"})).inserted_id
    answer = (await client.post(f"/workflows/{workflow_id}/dry-run", json={"entity_id": str(lead_id)})).json()
    assert (answer["would_run"], answer["steps"][0]["would"]) == (True, "succeed")
    assert answer["steps"][0]["writes"][0]["insert"] == "tasks"
    assert await database["tasks"].count_documents({}) == 0


async def test_an_unknown_route_and_an_unknown_method_are_problems_too(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/nothing")).json()["title"] == "Not Found"
    answer = await client.put("/workflows")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert (await client.post("/dashboard/operation", content=b"")).headers["allow"] == "GET, HEAD"
    assert (await client.delete("/static/dashboard.css")).headers["allow"] == "GET, HEAD"


async def test_head_is_answered_as_get_without_a_body(client: httpx2.AsyncClient) -> None:
    for path in ("/workflows", "/healthz", "/", "/static/dashboard.css"):
        answer, full = await client.head(path), await client.get(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == full.headers["content-type"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_a_body_that_is_not_said_to_be_json_is_told_what_was_expected(
    client: httpx2.AsyncClient, kind: str
) -> None:
    for path in ("/workflows", f"/workflows/{ObjectId()}/run"):
        answer = await client.post(path, content=json.dumps(TASK_FOR_LEADS), headers={"content-type": kind})
        assert answer.status_code == 415
        assert answer.json()["errors"][0]["field"] == "header.content-type"


@pytest.mark.parametrize(("body", "says"), [(b"{", "at character 1"), (b'{"name": "\xff"}', "UTF-8")])
async def test_a_body_that_is_no_json_is_refused_by_name(client: httpx2.AsyncClient, body: bytes, says: str) -> None:
    answer = await client.post("/workflows", content=body, headers={"content-type": "application/json"})
    (wrong,) = answer.json()["errors"]
    assert (answer.status_code, wrong["field"]) == (400, "body")
    assert says in wrong["problem"]


@pytest.mark.tampers
async def test_what_people_have_broken_is_listed_all_the_same(client: httpx2.AsyncClient, database: Database) -> None:
    workflow_id = await created(client)
    odd = {"_id": 7, "name": {"a": 1}, "status": ["x"], "execution_count": "many", "trigger": 5}
    await database["workflows"].insert_many([odd, {"_id": "text"}, {"_id": {"a": 1}}])
    listed = (await client.get("/workflows")).json()
    assert [each["id"] for each in listed] == ["7", "text", '{"a":1}', workflow_id]
    assert [each["execution_count"] for each in listed] == [0, 0, 0, 0]
    assert (await client.get("/workflows/7")).json()["trigger"] == 5
    await executions(database, workflow_id, 1, status=5, triggered_at="then", actions_executed="all")
    (brief,) = (await client.get(f"/workflows/{workflow_id}/executions")).json()
    assert (brief["status"], brief["triggered_at"], brief["actions_count"]) == ("5", None, 0)
