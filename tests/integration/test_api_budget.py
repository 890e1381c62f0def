"""What readers may ask for has limits, in bytes, time and number, and says so where it meets one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import httpx2
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, ObjectId, Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.collation import Collation
from starlette.types import ASGIApp

from daemon.api.dashboard import feed
from tests.support.api import TASK_FOR_LEADS, application, client_of
from tests.support.poll import eventually
from tests.support.watchdog import least_stall

pytestmark = pytest.mark.tampers  # the executions are made by hand

Database = AsyncDatabase[dict[str, Any]]
NOW = datetime.now(UTC).replace(microsecond=0)
MANY = [{"field": f"field{number}", "operator": "not_equals", "value": 1} for number in range(150)]
DAILY = {"type": "scheduled", "entity_type": "lead", "schedule": "0 9 * * *"}


@pytest.fixture
def app(database: Database) -> ASGIApp:
    return application(database)


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as asking:
        yield asking


async def all_pages(client: httpx2.AsyncClient, url: str) -> list[dict[str, Any]]:
    """Return what a list shows on all its pages, and check that each page has its limits."""
    found: list[dict[str, Any]] = []
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 4_000_000
        found += answer.json()
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    return found


async def test_a_page_of_large_decisions_ends_early_and_the_next_goes_on_behind_it(
    client: httpx2.AsyncClient, database: Database
) -> None:
    entries = [{"workflow_id": 1, "reason": "paused", "detail": {"text": "x" * 1_000}}] * 100
    decisions = [
        {"_id": number, "entity_id": "hot", "at": NOW - timedelta(seconds=number // 7), "entries": entries}
        for number in range(60)
    ]
    await database["workflow_decisions"].insert_many(decisions)
    shown = await all_pages(client, "/decisions?entity_id=hot&limit=1000")
    newest = sorted(range(60), key=lambda number: (-(number // 7), number), reverse=True)
    assert [int(each["id"]) for each in shown] == newest
    assert all(len(each["entries"]) == 100 for each in shown)
    assert await least_stall(lambda: client.get("/decisions?entity_id=hot&limit=1000"), 0.05) < 0.05


async def test_a_document_that_somebody_made_huge_is_shown_cut_and_harms_no_list(
    client: httpx2.AsyncClient, database: Database
) -> None:
    huge = {"_id": "huge", "name": "n" * 4_000_000, "trigger": {"a": "b"}, "actions": [{"type": "x"}] * 200_000}
    await database["workflows"].insert_many([huge, {"_id": "small", **TASK_FOR_LEADS}])
    shown = (await client.get("/workflows/huge")).json()
    assert shown["cut"]["bytes"] > 8_000_000
    assert (shown["trigger"], shown["actions"][:10]) == ({"a": "b"}, "(left out:")
    assert [each["id"] for each in (await client.get("/workflows")).json()] == ["huge", "small"]
    for page in ("/", "/dashboard/workflow?id=huge", "/dashboard/why"):
        assert (await client.get(page)).status_code == 200
    assert (await client.post("/workflows/huge/backtest", json={})).status_code == 422
    assert (await client.patch("/workflows/huge", json={"name": "x"})).status_code == 422
    assert await least_stall(lambda: client.get("/workflows/huge"), 0.05) < 0.05
    assert (await client.put("/workflows/huge", json=TASK_FOR_LEADS)).status_code == 200
    assert (await database["workflows"].find_one({"_id": "huge"}) or {})["name"] == TASK_FOR_LEADS["name"]


async def test_lists_are_newest_first_within_a_second_and_go_on_exactly(
    client: httpx2.AsyncClient, database: Database
) -> None:
    head = ObjectId.from_datetime(NOW).binary[:4]
    seqs = [5, 3, 9, 1, 7, 7, 7, 2, None, None, 8]
    ids = [ObjectId(head + (200 - place).to_bytes(8, "big")) for place in range(len(seqs))]
    rows = [{"_id": each, "seq": seq, "workflow_id": 1} for each, seq in zip(ids, seqs, strict=True)]
    await database["workflow_executions"].insert_many(rows)
    await database["workflows"].insert_one({"_id": 1, **TASK_FOR_LEADS})
    newest = [str(row["_id"]) for row in sorted(rows, key=lambda row: (row["seq"] or 0, row["_id"]), reverse=True)]
    for limit in (1, 2, 3, 100):
        found: list[str] = []
        before: dict[str, str] = {}
        while True:
            page = (await client.get("/executions", params={"limit": str(limit), **before})).json()
            found += [each["id"] for each in page["items"]]
            if page["next"] is None:
                break
            before = {"before": page["next"]}
        assert found == newest
    brief = await client.get("/workflows/1/executions?limit=3")
    assert [each["id"] for each in brief.json()] == newest[:3]
    following = (await client.get(brief.links["next"]["url"])).json()["items"]
    assert [each["id"] for each in following] == newest[3:6]
    page = (await client.get("/dashboard/executions")).text
    places = [page.index(f"execution-{each}") for each in newest]
    assert places == sorted(places)


async def test_every_type_survives_a_workflow_that_is_read_and_sent_back(
    client: httpx2.AsyncClient, database: Database
) -> None:
    values = [
        *(Decimal128("1000"), 3.0, Int64(2**60), Binary(b"\1" * 16, 4), b"\1", NOW, ObjectId(), Timestamp(1, 2)),
        *(Code("x"), MaxKey(), float("nan"), float("inf"), None, True, {"a": [1.0]}),
    ]
    conditions = [{"field": f"f{place}", "operator": "in", "value": [value]} for place, value in enumerate(values)]
    await database["workflows"].insert_one({"_id": 1, **TASK_FOR_LEADS, "conditions": conditions})
    read = await client.get("/workflows/1")
    sent = await client.put("/workflows/1", content=read.content, headers={"Content-Type": "application/json"})
    assert sent.status_code == 200, sent.text
    stored = await database["workflows"].find_one({"_id": 1}) or {}
    assert bson.encode({"": stored["conditions"]}) == bson.encode({"": conditions})
    assert sent.headers["etag"] == (await client.get("/workflows/1")).headers["etag"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"name": "a", "name": "b"}', "name"),
        ('{"name": "a", "conditions": [{"field": "a", "operator": "equals", "value": NaN}]}', "value"),
        ('{"name": "a", "conditions": [{"field": "a", "value": [1, Infinity]}]}', "conditions[0].value[1]"),
        ('{"name": {"$numberDecimal": 1}}', "name"),
        ('{"name": {"$uuid": "x", "a": 1}}', "name"),
        ('{"name": {"$where": "1"}}', "name.$where"),
    ],
)
async def test_json_of_two_meanings_is_refused_by_name(client: httpx2.AsyncClient, body: str, field: str) -> None:
    for path in ("/workflows", "/workflows/validate"):
        answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
        told = answer.json()["errors"][0]["field"]
        assert (answer.status_code in (200, 400), told) == (True, field), answer.text


@pytest.mark.parametrize("kind", ["lease", "replica", "gap", "session", "counter"])
async def test_whatever_stands_in_the_state_is_told(client: httpx2.AsyncClient, database: Database, kind: str) -> None:
    odd: list[dict[str, Any]] = [
        {"kind": kind},
        {"_id": 7, "kind": kind, "holder": ["a"], "name": 5, "expires_at": "then", "from": 1, "to": None, "rescan": 5},
        {"_id": {"a": 1}, "kind": kind, "holder": {"b": 1}, "expires_at": None, "from": "x" * 2_000_000},
        {"_id": f"{kind}/x", "kind": kind, "holder": None, "acknowledged": "no"},
    ]
    fixed = {"saved_at": "then", "seq": [1], "holder": {"a": 1}, "expires_at": 5}
    await database["workflow_state"].insert_many(
        [*odd, {"_id": "lease/reader", **fixed}, {"_id": "checkpoint", **fixed}]
    )
    answer = await client.get("/status")
    assert answer.status_code == 200, answer.text
    assert len(answer.content) < 1_000_000
    assert (await client.get("/dashboard/operation")).status_code == 200
    assert (await client.get("/")).status_code == 200


async def test_backtests_run_one_at_a_time_and_leave_the_event_loop_to_others(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database["leads"].insert_many([{"created_at": NOW, "n": number} for number in range(3_000)])
    await database["workflows"].insert_one({"_id": 1, **TASK_FOR_LEADS, "conditions": MANY})

    async def backtest() -> httpx2.Response:
        return await client.post("/workflows/1/backtest", json={"days": 1})

    first, second = await asyncio.gather(backtest(), backtest())
    assert sorted((first.status_code, second.status_code)) == [200, 429]
    refused = first if first.status_code == 429 else second
    assert ("another backtest" in refused.json()["detail"], int(refused.headers["retry-after"]) > 0) == (True, True)
    assert (await backtest()).json()["would_fire"] == 3_000
    assert await least_stall(backtest, 0.05) < 0.05


async def test_a_backtest_ends_with_its_request(app: ASGIApp, database: Database) -> None:
    await database["leads"].insert_many([{"created_at": NOW, "n": number} for number in range(6_000)])
    await database["workflows"].insert_one({"_id": 1, **TASK_FOR_LEADS, "conditions": MANY})
    began = asyncio.Event()
    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        began.set()
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/workflows/1/backtest", "query_string": b"", "root_path": ""}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    await app({**scope, "scheme": "http", "http_version": "1.1", "headers": headers}, receive, send)
    assert began.is_set()

    async def is_free() -> bool:
        async with client_of(app) as other:
            return (await other.post("/workflows/1/backtest", json={"days": 0.001})).status_code == 200

    await eventually(is_free)


async def test_a_backtest_compares_texts_as_sweeps_do(client: httpx2.AsyncClient, database: Database) -> None:
    await database.create_collection("leads", collation=Collation("en", strength=2))
    await database["leads"].insert_many([{"source": "website_form"}, {"source": "WEBSITE_FORM"}])
    await database["workflows"].insert_one({"_id": 1, **TASK_FOR_LEADS, "trigger": DAILY})
    told = (await client.post("/workflows/1/backtest", json={"days": 1})).json()
    assert (told["examined"], told["would_fire"]) == (1, 1)


async def test_as_many_streams_as_were_meant_get_in(
    client: httpx2.AsyncClient, app: ASGIApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_STREAMS", 3)
    monkeypatch.setattr(feed, "_LONGEST_S", 0.5)
    for _ in range(2):  # those that have ended make room
        answers = await asyncio.gather(*(client.get("/dashboard/live") for _ in range(10)))
        assert sorted(each.status_code for each in answers) == [200] * 3 + [503] * 7
