"""Who gets into the HTTP API, and who does not."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pymongo.asynchronous.database import AsyncDatabase

from config.api_token import ApiToken, Scope, hash_of
from tests.support.api import TASK_FOR_LEADS, application, client_of

WRITE, READ = "w" * 32, "r" * 32
TOKENS = (
    ApiToken(name="ana", sha256=hash_of(WRITE), scope=Scope.WRITE),
    ApiToken(name="grafana", sha256=hash_of(READ), scope=Scope.READ),
)


@pytest.fixture
def guarded(database: AsyncDatabase[dict[str, Any]]) -> FastAPI:
    return application(database, TOKENS)


@pytest.fixture
async def open_client(database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application(database)) as asking:
        yield asking


@pytest.mark.parametrize("token", [None, "", "wrong", "é", WRITE[:-1]])
async def test_without_a_valid_token_nothing_is_answered(guarded: FastAPI, token: str | None) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode())] if token is not None else []
    async with client_of(guarded) as client:
        for path in ("/workflows", "/metrics", "/openapi.json", "/nothing"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_probes_need_no_token(guarded: FastAPI) -> None:
    async with client_of(guarded) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready", "reasons": []}


async def test_a_reading_token_reads_and_asks_but_does_not_change(guarded: FastAPI) -> None:
    async with client_of(guarded, READ) as client:
        assert (await client.get("/workflows")).status_code == 200
        assert (await client.post("/workflows/validate", json=TASK_FOR_LEADS)).status_code == 200
        refused = await client.post("/workflows", json=TASK_FOR_LEADS)
        assert (refused.status_code, refused.json()["detail"]) == (403, "token 'grafana' may only read")


async def test_a_writing_token_changes_and_leaves_a_line_with_its_name(
    guarded: FastAPI, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr("daemon.api.guard.emit", lambda event, **fields: seen.append({"event": event, **fields}))
    async with client_of(guarded, WRITE) as client:
        assert (await client.post("/workflows", json=TASK_FOR_LEADS)).status_code == 201
    assert [(line["event"], line["token"], line["path"], line["status_code"]) for line in seen] == [
        ("api.changed", "ana", "/workflows", 201)
    ]


async def test_a_token_is_asked_for_before_a_body_is_read(guarded: FastAPI) -> None:
    was_read: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        was_read.append(True)
        yield b"{}"

    async with client_of(guarded) as client:
        assert (await client.post("/workflows", content=body())).status_code == 401
    assert not was_read


async def test_an_open_api_answers_loopback_names_only(open_client: httpx2.AsyncClient) -> None:
    assert (await open_client.get("/workflows")).status_code == 200
    assert (await open_client.get("/workflows", headers={"Host": "127.0.0.1:8484"})).status_code == 200
    assert (await open_client.get("/workflows", headers={"Host": "evil.example"})).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_another_sites_page_changes_nothing(open_client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    assert (await open_client.post("/workflows", json=TASK_FOR_LEADS, headers=headers)).status_code == 403
    assert (await open_client.get("/workflows")).json() == []
