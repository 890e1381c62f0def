"""The demo on a real MongoDB: its comparison sees what really happened, and it keeps off other people's data."""

import asyncio
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from rich.console import Console

from config.error import ConfigError
from daemon.demo.board import LineBoard
from daemon.demo.place import demo_settings, prepared_database
from daemon.demo.sample_workflow import REFERRAL, WON
from daemon.demo.stage import Stage
from daemon.signals import StopRequest
from tests.support.commits import committed
from tests.support.settings import settings_for

Database = AsyncDatabase[dict[str, Any]]


class Performance:
    """A demo that plays once, in the background, in ``database``."""

    def __init__(self, uri: str, database: Database, directory: Path) -> None:
        self._output = StringIO()
        console = Console(file=self._output)
        settings = settings_for(uri, database.name, time_scale=30.0, embedded_directory=directory)
        stage = Stage(demo_settings(settings), LineBoard(console), console, StopRequest())
        self._playing = asyncio.create_task(stage.play_once())

    async def end(self) -> tuple[int, str]:
        """Return the exit code and what was shown."""
        return await self._playing, self._output.getvalue()


async def test_a_demo_that_went_as_expected_returns_0(mongo_uri: str, database: Database, tmp_path: Path) -> None:
    code, shown = await Performance(mongo_uri, database, tmp_path).end()
    assert code == 0, shown


async def test_an_execution_that_nobody_expected_makes_it_fail(
    mongo_uri: str, database: Database, tmp_path: Path
) -> None:
    performance = Performance(mongo_uri, database, tmp_path)
    await committed(database, lambda: database.workflows.find_one({"name": REFERRAL, "observed.state": "active"}))
    await database.leads.insert_one({"_id": "stowaway", "source": "referral"})
    code, shown = await performance.end()
    assert code == 1
    assert f"not expected: {REFERRAL} for stowaway: completed" in shown


@pytest.mark.tampers
async def test_an_execution_that_is_missing_makes_it_fail(mongo_uri: str, database: Database, tmp_path: Path) -> None:
    performance = Performance(mongo_uri, database, tmp_path)
    won = {"workflow_name": WON, "status": "completed"}
    await committed(database, lambda: database.workflow_executions.find_one_and_delete(won))
    code, shown = await performance.end()
    assert code == 1
    assert f"missing: {WON} for " in shown


async def test_a_database_with_documents_is_left_alone(mongo_uri: str, database: Database, tmp_path: Path) -> None:
    await database.leads.insert_one({"name": "a real one"})
    settings = demo_settings(settings_for(mongo_uri, database.name, embedded_directory=tmp_path))
    with pytest.raises(ConfigError, match=f"expected an empty database.*found documents in leads of '{database.name}'"):
        async with prepared_database(settings):
            pass
    assert await database.list_collection_names() == ["leads"]
