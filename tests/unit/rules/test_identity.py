"""Ids and lanes follow from what they stand for."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Code, Int64, ObjectId, Regex
from bson.son import SON

from rules.identity import (
    ScheduledRun,
    bson_bytes,
    can_be_id,
    change_id,
    entity_key,
    execution_id,
    lane_of,
)
from tests.support.change import a_creation

FIRE_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_the_same_change_makes_the_same_execution_and_another_workflow_another() -> None:
    change = a_creation({"_id": 1})
    assert execution_id(change, "w") == execution_id(change, "w")
    assert execution_id(change, "w") != execution_id(change, "v")


def test_an_execution_id_carries_the_time_of_the_change() -> None:
    assert change_id(1_700_000_000, "82aa", "w").generation_time.timestamp() == 1_700_000_000


def test_ids_of_different_types_are_different() -> None:
    ids = {change_id(1, "t", each) for each in (1, "1", True, 1.0, Int64(1), None, b"1")}
    assert len(ids) == 7


def test_a_scheduled_run_makes_one_execution_for_an_entity_and_fire_time() -> None:
    first = ScheduledRun(FIRE_AT, "w", "lead").execution_id(1)
    assert first == ScheduledRun(FIRE_AT, "w", "lead").execution_id(1)
    others = [("w", "deal", 1), ("v", "lead", 1), ("w", "lead", 2), ("w", "lead", "1")]
    assert first not in [ScheduledRun(FIRE_AT, *run).execution_id(entity_id) for *run, entity_id in others]
    assert first != ScheduledRun(FIRE_AT.replace(hour=10), "w", "lead").execution_id(1)


def test_the_ids_of_a_scheduled_run_stay_as_they_are() -> None:
    run = ScheduledRun(datetime(2026, 1, 1, 9, tzinfo=UTC), "w", "lead")
    assert str(run.execution_id(1)) == "695637908a58bc0ab02279e4"  # for good: another version may go on with a sweep


@pytest.mark.parametrize(
    "entity_id", [1, "a", ObjectId(24 * "a"), {"a": [1]}, None, b"x", FIRE_AT, Code("f")], ids=repr
)
def test_keys_can_be_looked_up_and_lanes_are_in_range(entity_id: Any) -> None:
    assert entity_key("lead", entity_id) in {entity_key("lead", entity_id)}
    assert 0 <= lane_of("lead", entity_id, 32) < 32


def test_lanes_are_used_about_evenly_and_stay_as_they_are() -> None:
    lanes = [lane_of("lead", n, 32) for n in range(3_200)]
    assert min(map(lanes.count, range(32))) > 50
    assert lane_of("lead", "lead-1", 32) == 25  # for good: stored executions carry their lane


def test_the_order_of_keys_tells_documents_apart() -> None:
    assert bson_bytes(SON(a=1, b=2)) != bson_bytes(SON(b=2, a=1))


@pytest.mark.parametrize("value", [[1], Regex("."), {"$ne": None}, {"a": 1, "$b": 2}], ids=repr)
def test_what_mongodb_would_not_store_as_an_id_is_none(value: Any) -> None:
    assert not can_be_id(value)


@pytest.mark.parametrize("value", [1, "$a", None, {"a": {"$b": 1}}, {}, ObjectId(24 * "a")], ids=repr)
def test_everything_else_may_be_an_id(value: Any) -> None:
    assert can_be_id(value)
