"""What a look beside the head of the queue brings: a share of each workflow, in turn, with what goes before it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from daemon.executions.fair_share import EACH, FairShare
from daemon.mongo.initialise import initialise
from rules.identity import bson_bytes
from tests.support.settings import settings_for

pytestmark = pytest.mark.tampers  # the executions are made by hand

Database = AsyncDatabase[dict[str, Any]]
NOW = datetime(2026, 11, 2, tzinfo=UTC)
LANES = list(range(32))


def due(workflow_id: Any, count: int, **changes: Any) -> list[dict[str, Any]]:
    """Return queued executions of a workflow, each for an entity of its own."""
    return [
        {"workflow_id": workflow_id, "lane": 3, "due_at": NOW, "triggered_by_entity_id": ObjectId(), **changes}
        for _ in range(count)
    ]


async def ids_found(database: Database, share: FairShare, asked: list[Any], crowd: list[Any]) -> list[Any]:
    found = await share.find(asked, {bson_bytes(each) for each in crowd}, LANES, NOW)
    return [each["workflow_id"] for each in found]


async def test_a_workflow_that_is_no_crowd_is_found_wherever_it_stands(database: Database) -> None:
    await database.workflow_executions.insert_many([*due("crowd", 2_000), *due(7, 3), *due("paused", 3)])
    found = await ids_found(database, FairShare(database.workflow_executions), ["crowd", 7], ["crowd"])
    assert found == [7] * 3


async def test_what_is_not_due_or_in_no_lane_of_ours_is_left(database: Database) -> None:
    later = due("w", 1, due_at=NOW + timedelta(seconds=1))
    await database.workflow_executions.insert_many([*later, *due("w", 1, lane=40), *due("w", 1, due_at="now")])
    assert await ids_found(database, FairShare(database.workflow_executions), ["w"], []) == []


async def test_crowds_get_a_share_each_and_take_turns(database: Database) -> None:
    names = [f"w{number}" for number in range(12)]
    for name in names:
        await database.workflow_executions.insert_many(due(name, EACH + 50))
    share = FairShare(database.workflow_executions)
    met: set[Any] = set()
    for _ in range(3):
        found = await ids_found(database, share, names, [])
        assert max(found.count(name) for name in names) == EACH
        met |= set(found)
    assert met == set(names)


async def test_with_an_execution_come_those_of_its_entity_that_are_due_before(database: Database) -> None:
    first, other = due("crowd", 1, triggered_by_entity_id=5), due("w", 1, triggered_by_entity_id=5)
    await database.workflow_executions.insert_many([*due("crowd", 500), *first, *other])
    found = await ids_found(database, FairShare(database.workflow_executions), ["crowd", "w"], ["crowd"])
    assert sorted(found) == ["crowd", "w"]


async def test_an_entity_with_too_much_due_waits_for_its_turn(database: Database) -> None:
    mine = {"triggered_by_entity_id": 5}
    await database.workflow_executions.insert_many([*due("crowd", 4_000, **mine), *due("w", 1, **mine)])
    assert await ids_found(database, FairShare(database.workflow_executions), ["w"], ["crowd"]) == []


async def test_the_look_uses_its_index(mongo_uri: str, database: Database) -> None:
    await initialise(database, settings_for(mongo_uri, database.name))
    await database.workflow_executions.insert_many([*due("crowd", 3_000), *due("w", 3)])
    query = {"workflow_id": {"$in": ["w"]}, "due_at": {"$lte": NOW, "$type": "date"}, "lane": {"$in": LANES}}
    plan = await database.workflow_executions.find(query).limit(EACH).explain()
    assert plan["executionStats"]["totalDocsExamined"] == 3
    assert plan["executionStats"]["totalKeysExamined"] < 10
