"""Who gets into the HTTP API, and who does not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi import FastAPI
from pymongo.asynchronous.database import AsyncDatabase

from config.api_token import ApiToken, TokenScope, hash_of
from daemon.api.envelope import HEADERS, Envelope
from daemon.api.guard import READ_ONLY_ROUTES, changes_something
from daemon.api.problem import routes_of
from daemon.event import Event
from tests.support.api import TASK_FOR_LEADS, application, client_of
from tests.support.events import Events

OURS = {"Origin": "http://localhost:8484"}
WRITE, READ = "w" * 32, "r" * 32
TOKENS = (
    ApiToken(name="ana", sha256=hash_of(WRITE), scope=TokenScope.WRITE),
    ApiToken(name="grafana", sha256=hash_of(READ), scope=TokenScope.READ),
)


@pytest.fixture
def guarded(database: AsyncDatabase[dict[str, Any]]) -> Envelope:
    return application(database, TOKENS)


@pytest.fixture
async def open_client(database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application(database)) as asking:
        yield asking


@pytest.mark.parametrize("token", [None, "", "wrong", "é", WRITE[:-1]])
async def test_without_a_valid_token_nothing_is_answered(guarded: Envelope, token: str | None) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode())] if token is not None else []
    async with client_of(guarded) as client:
        for path in ("/workflows", "/metrics", "/openapi.json", "/nothing"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_probes_need_no_token(guarded: Envelope) -> None:
    async with client_of(guarded) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready", "reasons": []}


async def test_a_reading_token_reads_and_asks_but_does_not_change(guarded: Envelope) -> None:
    async with client_of(guarded, READ) as client:
        assert (await client.get("/workflows")).status_code == 200
        assert (await client.post("/workflows/validate", json=TASK_FOR_LEADS)).status_code == 200
        refused = await client.post("/workflows", json=TASK_FOR_LEADS)
        assert (refused.status_code, refused.json()["detail"]) == (403, "token 'grafana' may only read")


async def test_a_writing_token_changes_and_leaves_a_line_with_its_name(guarded: Envelope, events: Events) -> None:
    async with client_of(guarded, WRITE) as client:
        assert (await client.post("/workflows", json=TASK_FOR_LEADS)).status_code == 201
    (line,) = events.of(Event.API_CHANGED)
    assert (line["token"], line["path"], line["status_code"]) == ("ana", "/workflows", 201)


async def test_a_token_is_asked_for_before_a_body_is_read(guarded: Envelope) -> None:
    was_read: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        was_read.append(True)
        yield b"{}"

    async with client_of(guarded) as client:
        assert (await client.post("/workflows", content=body())).status_code == 401
    assert not was_read


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8484", "127.0.0.1:8484", "[::1]:8484", "[::1]"])
async def test_an_open_api_answers_loopback_names(open_client: httpx2.AsyncClient, host: str) -> None:
    assert (await open_client.get("/workflows", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "hosts",
    [
        *(["evil.example"], ["127.0.0.1:evil"], ["127.0.0.1:"], ["127.0.0.1:0"], ["127.0.0.1:65536"], ["localhost."]),
        *(
            ["::1"],
            ["[::1"],
            ["[::1]evil"],
            ["localhost@evil.example"],
            ["localhost:80:80"],
            [" "],
            [""],
            ["127.0.0.1 "],
        ),
        *(["localhost", "localhost"], ["localhost", "evil.example"], ["localhost, evil.example"], ["127.1"]),
    ],
)
async def test_an_open_api_answers_no_other_host(open_client: httpx2.AsyncClient, hosts: list[str]) -> None:
    headers = [("Host", host) for host in hosts]
    assert (await open_client.get("/workflows", headers=headers)).status_code == 403
    assert (await open_client.get("/", headers=headers)).status_code == 403


@pytest.mark.parametrize(("hosts", "status"), [(["crm.example:443"], 200), (["a", "b"], 400), (["crm.example:x"], 400)])
async def test_with_a_token_any_host_is_answered_that_is_one(guarded: Envelope, hosts: list[str], status: int) -> None:
    async with client_of(guarded, READ) as client:
        answer = await client.get("/workflows", headers=[("Host", host) for host in hosts])
    assert answer.status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
        {"Referer": "https://evil.example/page"},
        {"Referer": "http://localhost:3000/"},
        {"Sec-Fetch-Site": "none", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "Cross-Site"},
        [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "http://localhost:8484"), ("Origin", "https://evil.example")],
        [("Referer", "http://localhost:8484/"), ("Referer", "https://evil.example/")],
    ],
)
async def test_another_sites_page_changes_nothing_and_reads_nothing(
    open_client: httpx2.AsyncClient, headers: dict[str, str] | list[tuple[str, str]]
) -> None:
    assert (await open_client.post("/workflows", json=TASK_FOR_LEADS, headers=headers)).status_code == 403
    for path in ("/workflows", "/status", "/", "/dashboard/live", "/healthz", "/openapi.json"):
        assert (await open_client.get(path, headers=headers)).status_code == 403
    assert (await open_client.get("/workflows")).json() == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://localhost:8484"},
        {"Referer": "http://localhost:8484/dashboard/executions"},
    ],
)
async def test_programs_people_and_our_own_pages_read(open_client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/workflows", "/"):
        assert (await open_client.get(path, headers=headers)).status_code == 200


@pytest.mark.parametrize("name", ["validate", "dry-run", "backtest", "logout", "a/backtest", "x/validate"])
async def test_what_a_workflow_is_called_opens_nothing_to_a_reading_token(
    guarded: Envelope, database: AsyncDatabase[dict[str, Any]], name: str
) -> None:
    await database["workflows"].insert_one({"_id": name, **TASK_FOR_LEADS})
    path = f"/workflows/{quote(name, safe='')}"
    async with client_of(guarded, READ) as client:
        assert (await client.get(path)).status_code == 200
        for method, at in (("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("PUT", "/pause"), ("POST", "/run")):
            assert (await client.request(method, path + at, json={"name": "mine"})).status_code == 403
    assert (await database["workflows"].find_one({"_id": name}) or {})["name"] == TASK_FOR_LEADS["name"]


async def test_every_route_that_may_change_something_wants_a_writing_token(guarded: Envelope) -> None:
    assert isinstance(guarded.app, FastAPI)
    routes = [(method, route.path) for route in routes_of(guarded.app.router) for method in route.methods or ()]
    assert len(routes) > 30
    for method, path in routes:
        is_read_only = method in ("GET", "HEAD") or (method == "POST" and path in READ_ONLY_ROUTES)
        assert changes_something(method, path) is not is_read_only, (method, path)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/workflows", 200),
        ("GET", "/", 200),
        ("GET", "/static/dashboard.css", 200),
        ("GET", "/static/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/dashboard/nothing", 404),
        ("PUT", "/workflows", 405),
        ("POST", "/workflows", 415),
        ("POST", "/workflows/validate", 415),
        ("GET", "/workflows?limit=x", 400),
        ("GET", "/healthz", 200),
        ("HEAD", "/", 200),
    ],
)
async def test_every_answer_carries_the_headers(
    open_client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await open_client.request(method, path, content=b"x" if method == "POST" else None)
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]


async def test_an_answer_to_an_error_of_ours_carries_the_headers(
    guarded: Envelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("daemon.admin.overview.Overview.look", broken)
    transport = httpx2.ASGITransport(app=guarded, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/status", headers={"Authorization": f"Bearer {READ}"})
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (500, "nosniff")


async def test_who_tries_many_wrong_tokens_waits_and_others_do_not(guarded: Envelope) -> None:
    async with client_of(guarded) as client:
        wrong = [client.get("/workflows", headers={"Authorization": f"Bearer {each:032}"}) for each in range(150)]
        forms = [client.post("/dashboard/login", data={"token": str(each)}, headers=OURS) for each in range(150)]
        trying = [asyncio.create_task(each) for each in (*wrong, *forms)]
        await asyncio.wait(trying, return_when=asyncio.FIRST_COMPLETED)
        right = await client.get("/workflows", headers={"Authorization": f"Bearer {READ}"})
        assert right.status_code == 200
        statuses = [(await each).status_code for each in trying]
    assert {401, 429} == set(statuses)
    assert statuses.count(401) < 20
