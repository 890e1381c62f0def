"""Who gets to see the dashboard and press its buttons, and who does not."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import time_machine
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from starlette.types import ASGIApp

from config.api_token import ApiToken, TokenScope, hash_of
from daemon.api.session import COOKIE
from tests.support.api import TASK_FOR_LEADS, application, client_of
from tests.support.daemon import running_daemon
from tests.support.mongod import free_port
from tests.support.poll import REPEAT_S

Database = AsyncDatabase[dict[str, Any]]
WRITE, READ = "w" * 32, "r" * 32
TOKENS = (
    ApiToken(name="ana", sha256=hash_of(WRITE), scope=TokenScope.WRITE),
    ApiToken(name="bo", sha256=hash_of(READ), scope=TokenScope.READ),
)
OURS = {"Origin": "http://localhost:8484"}


@pytest.fixture
def guarded(database: Database) -> ASGIApp:
    return application(database, TOKENS)


@pytest.fixture
async def workflow_id(database: Database) -> Any:
    inserted = await database["workflows"].insert_one({**TASK_FOR_LEADS, "status": "active"})
    return inserted.inserted_id


@pytest.fixture
async def visitor(guarded: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser that nobody has logged in with yet."""
    async with client_of(guarded) as client:
        yield client


async def log_in(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.post("/dashboard/login", data={"token": token}, headers=OURS)


async def pause(client: httpx2.AsyncClient, workflow_id: Any, **headers: str) -> int:
    form = {"which": str(workflow_id), "status": "paused", "back": "/"}
    return (await client.post("/dashboard/workflow", data=form, headers=headers)).status_code


async def status_of(database: Database, workflow_id: Any) -> str:
    document = await database["workflows"].find_one({"_id": workflow_id})
    assert document is not None
    return str(document["status"])


@pytest.mark.parametrize("path", ["/", "/dashboard/executions", "/dashboard/execution?id=1", "/dashboard/nothing"])
async def test_who_has_not_logged_in_is_led_to_the_way_in(visitor: httpx2.AsyncClient, path: str) -> None:
    answer = await visitor.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/login")
    assert (await visitor.get("/dashboard/login")).status_code == 200
    assert (await visitor.get("/static/dashboard.css")).status_code == 200


async def test_htmx_is_led_there_too(visitor: httpx2.AsyncClient) -> None:
    answer = await visitor.get("/dashboard/live", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/dashboard/login")


async def test_the_cookie_is_for_this_site_alone_and_for_no_script(visitor: httpx2.AsyncClient) -> None:
    answer = await log_in(visitor, WRITE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= flags
    assert (await visitor.get("/")).status_code == 200


async def test_over_https_the_cookie_is_for_https_alone(guarded: ASGIApp) -> None:
    transport = httpx2.ASGITransport(app=guarded)
    async with httpx2.AsyncClient(transport=transport, base_url="https://crm.example") as client:
        answer = await client.post("/dashboard/login", data={"token": WRITE}, headers={"Origin": "https://crm.example"})
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["", "wrong", WRITE[:-1], "é"])
async def test_no_token_no_cookie(visitor: httpx2.AsyncClient, token: str) -> None:
    answer = await log_in(visitor, token)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_a_cookie_is_good_for_pages_alone(visitor: httpx2.AsyncClient) -> None:
    await log_in(visitor, WRITE)
    assert (await visitor.get("/workflows")).status_code == 401


async def test_a_forged_and_an_old_cookie_are_none(visitor: httpx2.AsyncClient) -> None:
    await log_in(visitor, WRITE)
    good = visitor.cookies[COOKIE]
    with time_machine.travel(time.time() + 12 * 3600 + 60):
        assert (await visitor.get("/")).status_code == 303
    visitor.cookies.clear()
    visitor.cookies.set(COOKIE, good[:-3] + ("aaa" if good[-3:] != "aaa" else "bbb"))
    assert (await visitor.get("/")).status_code == 303


async def test_a_cookie_ends_with_its_token_and_holds_on_every_replica(database: Database) -> None:
    async with client_of(application(database, TOKENS)) as client:
        await log_in(client, WRITE)
        cookie = client.cookies[COOKIE]
    for tokens, status in ((TOKENS, 200), (TOKENS[1:], 303)):
        async with client_of(application(database, tokens)) as elsewhere:
            elsewhere.cookies.set(COOKIE, cookie)
            assert (await elsewhere.get("/")).status_code == status


async def test_logging_out_ends_the_session_on_every_replica_and_no_other(
    visitor: httpx2.AsyncClient, database: Database
) -> None:
    cookies = []
    for _ in range(2):
        await log_in(visitor, WRITE)
        cookies.append(visitor.cookies[COOKIE])
    await visitor.post("/dashboard/logout", headers=OURS)
    for cookie, status in zip(cookies, (200, 303), strict=True):
        async with client_of(application(database, TOKENS)) as elsewhere:
            elsewhere.cookies.set(COOKIE, cookie)
            assert (await elsewhere.get("/")).status_code == status
    assert await database["workflow_state"].count_documents({"kind": "session"}) == 1


async def test_ended_sessions_are_forgotten_when_their_cookies_are_too_old(database: Database) -> None:
    old = {"_id": "session/old", "kind": "session", "changed_at": datetime.now(UTC) - timedelta(hours=13)}
    await database["workflow_state"].insert_one(old)
    async with client_of(application(database, TOKENS)) as client:
        await log_in(client, WRITE)
        await client.post("/dashboard/logout", headers=OURS)
    assert await database["workflow_state"].count_documents({"_id": "session/old"}) == 0


async def test_a_reading_token_sees_everything_and_switches_nothing(
    visitor: httpx2.AsyncClient, database: Database, workflow_id: Any
) -> None:
    await log_in(visitor, READ)
    assert "disabled" in (await visitor.get("/")).text
    assert await pause(visitor, workflow_id, **OURS) == 403
    assert await status_of(database, workflow_id) == "active"
    assert (await visitor.post("/dashboard/logout", headers=OURS)).status_code == 303


async def test_a_writing_token_switches(visitor: httpx2.AsyncClient, database: Database, workflow_id: Any) -> None:
    await log_in(visitor, WRITE)
    assert await pause(visitor, workflow_id, **OURS) == 303
    assert await status_of(database, workflow_id) == "paused"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8484", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_of_another_origin_switches_nothing(
    visitor: httpx2.AsyncClient, database: Database, workflow_id: Any, headers: dict[str, str]
) -> None:
    await log_in(visitor, WRITE)
    assert await pause(visitor, workflow_id, **headers) == 403
    assert await status_of(database, workflow_id) == "active"


async def test_without_tokens_the_dashboard_is_as_open_as_the_api(database: Database, workflow_id: Any) -> None:
    async with client_of(application(database)) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/", headers={"Host": "evil.example"})).status_code == 403
        assert await pause(client, workflow_id, Origin="http://localhost:3000") == 403
        assert await pause(client, workflow_id, **OURS) == 303
    assert await status_of(database, workflow_id) == "paused"


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "/dashboard/\r\nX: y"])
async def test_a_form_leads_back_to_pages_of_ours_alone(database: Database, workflow_id: Any, back: str) -> None:
    form = {"which": str(workflow_id), "status": "paused", "back": back}
    async with client_of(application(database)) as client:
        answer = await client.post("/dashboard/workflow", data=form, headers=OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("workflow", {"which": "1", "status": "on"}),
        ("workflow", {"status": "paused"}),
        ("execution", {"which": "0" * 24, "do": "repeat"}),
        ("execution", {"which": "0" * 24, "do": "resolve", "as": "success", "step": "-1"}),
        ("execution", {"which": "0" * 24, "do": "resolve", "as": "maybe", "step": "0"}),
        ("gap", {}),
        ("gap", {f"field{number}": "x" for number in range(30)}),
    ],
)
async def test_a_form_that_makes_no_sense_is_answered_by_a_page(
    database: Database, path: str, form: dict[str, str]
) -> None:
    async with client_of(application(database)) as client:
        answer = await client.post(f"/dashboard/{path}", data=form, headers=OURS)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")


async def test_every_page_lets_the_browser_run_our_own_files_only(database: Database) -> None:
    async with client_of(application(database)) as client:
        for path in ("/", "/dashboard/login", "/dashboard/execution?id=1", "/dashboard/why"):
            policy = (await client.get(path, follow_redirects=True)).headers["content-security-policy"]
            assert policy.startswith("default-src 'self'; ")
            assert "unsafe" not in policy


async def test_what_a_page_listens_to_ends_when_the_daemon_stops(mongo_uri: str, database: Database) -> None:
    port = free_port()
    async with httpx2.AsyncClient() as client:
        async with running_daemon(mongo_uri, database.name, api_port=port):
            request = client.build_request("GET", f"http://127.0.0.1:{port}/dashboard/live")
            stream = await client.send(request, stream=True)
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("data: ")
        # It came to its end: what the server cuts off, because it takes too long, does not.
        async with asyncio.timeout(REPEAT_S):
            assert [line async for line in lines if line.startswith("event")] == []
        await stream.aclose()


async def test_while_mongodb_does_not_answer_nobody_is_known_and_a_page_says_so(database: Database) -> None:
    silent: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("127.0.0.1", free_port(), serverSelectionTimeoutMS=50)
    async with client_of(application(silent[database.name], TOKENS)) as client:
        answer = await log_in(client, WRITE)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        client.cookies.set(COOKIE, "anything")
        assert (await client.get("/")).status_code == 303
    await silent.close()
