"""The dashboard in a real browser: switch, watch, retry, resolve, with nothing that its policy forbids."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from selenium.webdriver.common.keys import Keys

from actions.context import Context
from actions.outcome import Done, Fail, Outcome, Uncertain
from daemon.mongo.codec import CODEC
from tests.support.bench import Bench, created, running_bench, updated
from tests.support.browser import DESKTOP, PHONE, Browser, running_browser
from tests.support.daemon import running_daemon
from tests.support.mongod import free_port
from tests.support.poll import eventually
from tests.support.stage import Stage

HOSTILE = "<script>window.isTaken=true</script><img src=x onerror=window.isTaken=true>"
ONCE = {"type": "remote", "at_most_once": True}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
async def bench(mongo_uri: str, mongo_client: AsyncMongoClient[dict[str, Any]], stage: Stage) -> AsyncIterator[Bench]:
    database = mongo_client.get_database(f"test_{uuid4().hex[:12]}", codec_options=CODEC)
    async with running_bench(mongo_uri, database, parse_action=stage.parse_action, api_port=free_port()) as running:
        yield running
    await mongo_client.drop_database(database.name)


@pytest.fixture
async def browser(chromium: Browser, bench: Bench) -> AsyncIterator[Browser]:
    """The browser, in front of the dashboard; it must have had nothing to complain about."""
    assert bench.daemon.api_address is not None
    chromium.address = f"http://127.0.0.1:{bench.daemon.api_address[1]}"
    await chromium.wear(DESKTOP)
    await chromium.complaints()
    yield chromium
    assert await chromium.complaints() == []


async def status_of(bench: Bench, execution_id: Any) -> str:
    document = await bench.executions.find_one({"_id": execution_id})
    assert document is not None
    return str(document["status"])


async def becomes(bench: Bench, execution_id: Any, status: str) -> None:
    async def look() -> bool:
        assert await status_of(bench, execution_id) == status
        return True

    await eventually(look)


async def run_of(bench: Bench, **workflow: Any) -> tuple[Any, Any]:
    """Return the ids of a new workflow and of its first execution, which has ended."""
    marker = uuid4().hex
    only = [{"field": "marker", "operator": "equals", "value": marker}]
    workflow_id = await bench.add(created(), conditions=only, **workflow)
    await bench.leads.insert_one({"marker": marker})
    return workflow_id, (await bench.ended(workflow_id, 1))[0]["_id"]


async def test_the_switch_of_a_workflow_is_pressed_by_key_and_holds(browser: Browser, bench: Bench) -> None:
    workflow_id = await bench.add(updated("stage"), name="Press me")
    switch = f"#workflow-{workflow_id} button[role=switch]"
    await browser.open("/")
    assert await browser.attribute(switch, "aria-checked") == "true"
    await browser.press(switch, Keys.SPACE)
    await browser.shows(f"#workflow-{workflow_id}", "paused")
    assert await browser.attribute(switch, "aria-checked") == "false"
    assert await browser.run("return document.activeElement.getAttribute('role')") == "switch"
    await bench.observed(workflow_id, state="paused")
    await browser.press(switch)
    await browser.shows(f"#workflow-{workflow_id}", "active")
    await bench.observed(workflow_id, state="active")


async def test_an_execution_appears_without_a_reload(browser: Browser, bench: Bench) -> None:
    await browser.open("/dashboard/executions")
    await browser.run("window.isTheSamePage = true")
    _, execution_id = await run_of(bench, name="Appears by itself")
    await browser.shows(f"#execution-{execution_id}", "Appears by itself")
    assert await browser.run("return window.isTheSamePage") is True


async def test_a_failed_execution_is_retried_with_one_click(browser: Browser, bench: Bench, stage: Stage) -> None:
    async def fail(context: Context) -> Outcome:
        return Fail("mailbox unavailable")

    async def succeed(context: Context) -> Outcome:
        return Done({})

    stage.plays("fails first", fail)
    _, execution_id = await run_of(bench, actions=[{"type": "local", "name": "fails first"}])
    stage.plays("fails first", succeed)
    await browser.open("/dashboard/attention")
    await browser.shows(f"#failed-{execution_id}", "mailbox unavailable")
    await browser.click(f"#failed-{execution_id} button")
    await becomes(bench, execution_id, "completed")

    async def is_gone() -> bool:
        return not await browser.texts(f"#failed-{execution_id}")

    await eventually(is_gone)


async def test_an_uncertain_step_is_resolved_where_its_story_is_told(
    browser: Browser, bench: Bench, stage: Stage
) -> None:
    async def break_off(context: Context) -> Outcome:
        return Uncertain("the connection broke while the message was on its way")

    stage.plays("breaks off", break_off)
    _, execution_id = await run_of(
        bench, actions=[{**ONCE, "name": "breaks off"}, {"type": "create_task", "title": "After"}]
    )
    await browser.open("/dashboard/attention")
    await browser.click(f"#uncertain-{execution_id} header a")
    await browser.shows(".timeline .is-uncertain", "Whether this took effect is unknown")
    await browser.click(".timeline .is-uncertain button")
    await becomes(bench, execution_id, "completed")
    await browser.shows("h1", "completed")


async def test_a_refused_command_says_why_and_leads_back(browser: Browser, bench: Bench, stage: Stage) -> None:
    async def fail(context: Context) -> Outcome:
        return Fail("no")

    stage.plays("fails", fail)
    workflow_id, execution_id = await run_of(bench, actions=[{"type": "local", "name": "fails"}])
    await bench.workflows.update_one({"_id": workflow_id}, {"$set": {"status": "stopped"}})
    await bench.observed(workflow_id, state="stopped")
    await browser.open(f"/dashboard/execution?id={execution_id}")
    await browser.click("#panel .row button")
    await browser.shows("[role=alert]", "stopped")
    assert await status_of(bench, execution_id) == "failed"
    assert "409" in "".join(await browser.complaints())  # the browser's own line about the answer


async def test_every_page_fits_and_nothing_hostile_runs(
    browser: Browser, bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lead = await bench.leads.insert_one({"name": HOSTILE, "source": HOSTILE})
    asks = [{"field": "source", "operator": "equals", "value": f"{HOSTILE} no"}]
    workflow_id = await bench.add(created(), name=HOSTILE, description=HOSTILE, conditions=asks)
    refused = await bench.leads.insert_one({"source": HOSTILE})
    _, execution_id = await run_of(bench, name=HOSTILE, actions=[{"type": "create_task", "title": HOSTILE}])
    await bench.taken_in()
    pages = {
        "workflows": "/",
        "workflow": f"/dashboard/workflow?id={workflow_id}",
        "executions": "/dashboard/executions",
        "execution": f"/dashboard/execution?id={execution_id}",
        "attention": "/dashboard/attention",
        "why": f"/dashboard/why?entity_id={refused.inserted_id}&entity_type=lead&workflow_id={workflow_id}",
        "nothing": f"/dashboard/why?entity_id={lead.inserted_id}",
        "hostile": "/dashboard/why?entity_id=%3Cscript%3Ealert(1)%3C/script%3E",
        "operation": "/dashboard/operation",
    }
    screenshots = tmp_path_factory.mktemp("screenshots")
    for size, is_dark in ((DESKTOP, False), (PHONE, True)):
        await browser.wear(size, is_dark=is_dark)
        for name, path in pages.items():
            await browser.open(path)
            await browser.screenshot(screenshots / f"{name}-{size[0]}.png")
            assert await browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0, name
            assert await browser.run("return window.isTaken") is None
            assert await browser.run("return document.querySelectorAll('script:not([src]), main img').length") == 0
    await browser.open(pages["workflow"])
    await browser.shows("h1", HOSTILE)


async def test_people_log_in_with_a_token_and_out_again(chromium: Browser, bench: Bench, mongo_uri: str) -> None:
    token, port = "a token for the dashboard, long enough", free_port()
    async with running_daemon(mongo_uri, bench.database.name, api_port=port, api_token=SecretStr(token)):
        chromium.address = f"http://127.0.0.1:{port}"
        await chromium.open("/dashboard/executions")
        await chromium.press("input[name=token]", "wrong" + Keys.ENTER)
        await chromium.shows("[role=alert]", "no token")
        await chromium.press("input[name=token]", token + Keys.ENTER)
        await chromium.shows("h1", "Workflows")
        await chromium.click("header button")
        await chromium.shows("h1", "Log in")
        await chromium.open("/")
        await chromium.shows("h1", "Log in")
