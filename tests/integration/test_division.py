"""The number of lanes divides the work of a database: another one is refused while anything depends on it."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from config.error import ConfigError
from tests.support.bench import created, running_bench
from tests.support.daemon import running_daemon

Database = AsyncDatabase[dict[str, Any]]
LATER = [{"type": "create_task", "delay": "1h"}]


@pytest.mark.parametrize("lanes", [16, 64])
async def test_another_number_of_lanes_is_refused_while_executions_wait(
    mongo_uri: str, database: Database, lanes: int
) -> None:
    async with running_bench(mongo_uri, database, lanes=32) as bench:
        await bench.add(created(), actions=LATER)
        await bench.leads.insert_one({})
        await bench.taken_in()
    with pytest.raises(ConfigError, match=f"REFLEXD_LANES: expected 32.*found {lanes}"):
        async with running_daemon(mongo_uri, database.name, lanes=lanes):
            pass


async def test_another_number_of_lanes_is_refused_while_a_replica_runs(mongo_uri: str, database: Database) -> None:
    async with running_bench(mongo_uri, database, lanes=32):
        with pytest.raises(ConfigError, match="REFLEXD_LANES"):
            async with running_daemon(mongo_uri, database.name, lanes=16, replica_name="other"):
                pass


@pytest.mark.parametrize("lanes", [3, 40])
async def test_another_number_of_lanes_is_taken_when_nothing_waits(
    mongo_uri: str, database: Database, lanes: int
) -> None:
    async with running_bench(mongo_uri, database, lanes=32) as bench:
        workflow_id = await bench.add(created(), actions=[{"type": "create_task", "delay": 1}])
        await bench.leads.insert_many([{} for _ in range(20)])
        await bench.ended(workflow_id, 20)
    async with running_bench(mongo_uri, database, lanes=lanes) as bench:
        await bench.leads.insert_many([{} for _ in range(20)])
        await bench.ended(workflow_id, 40)
        leases = await bench.state.count_documents({"_id": {"$regex": "^lease/lane/"}})
    assert leases == lanes
