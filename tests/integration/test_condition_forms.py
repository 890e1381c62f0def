"""The two forms of a condition, held to each other on a real server: what the filter finds, Python finds true."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from bson import DatetimeConversion
from bson.codec_options import CodecOptions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from rules.conditions import Subject, parse_conditions
from rules.operators import OPERATORS
from rules.query import is_exact, to_filter
from tests.support.random_conditions import (
    NOW,
    Scenario,
    operators_tried,
    operators_without_filter,
    random_scenario,
)

Entities = Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def collection(mongo_uri: str) -> Iterator[Entities]:
    """One collection for all examples: emptying it costs less than dropping it."""
    options: CodecOptions[dict[str, Any]] = CodecOptions(
        tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        database = client.get_database("condition_forms", codec_options=options)
        yield database["entities"]
        client.drop_database(database.name)


def store(collection: Entities, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Store the entities in place of what was there, and return them as they are read back."""
    collection.delete_many({})
    collection.insert_many([{"_id": number, **document} for number, document in enumerate(documents)])
    return list(collection.find(sort=[("_id", 1)]))


def condition(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def disagreements(collection: Entities, scenario: Scenario) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Return every list of conditions with the entities that it finds and does not mean, or means and does not find."""
    stored = store(collection, scenario.entities)
    for raw in scenario.conditions:
        conditions = parse_conditions(raw, with_changes=False)
        found = {entity["_id"] for entity in collection.find(to_filter(conditions, NOW), {"_id": 1})}
        for entity in stored:
            is_met, is_found = conditions.judge(Subject(entity, NOW)), entity["_id"] in found
            if is_met is not is_found and (is_exact(conditions) or not is_found):
                yield raw, entity


@settings(
    max_examples=75, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(random=st.randoms(use_true_random=True))
def test_filter_finds_exactly_what_python_judges_true(collection: Entities, random: Random) -> None:
    assert list(disagreements(collection, random_scenario(random, entities=40, conditions=60))) == []


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario([{"a": [["x"]]}, {"a": ["x"]}, {"a": ["xy"]}, {"a": "xy"}], [[condition("a", "contains", "x")]]),
        Scenario([{"a": [""]}, {"a": []}, {"a": ""}, {}], [[{"field": "a", "operator": "is_empty"}]]),
        Scenario([{"a": [[1, 2]]}, {"a": [1]}], [[condition("a.0", "equals", 1)]]),
        Scenario([{"a": "y"}, {"a": "x"}, {"a": 5}], [[{"none": [condition("a", "matches", "x")]}]]),
        Scenario(
            [{"d_at": [NOW - timedelta(1), NOW - timedelta(9)]}, {"d_at": "x", "d": NOW - timedelta(7.5)}],
            [[condition("d_days_ago", "equals", 7)], [condition("d_days_ago", "not_equals", 7)]],
        ),
    ],
)
def test_forms_agree_where_a_simpler_filter_would_not(collection: Entities, scenario: Scenario) -> None:
    assert list(disagreements(collection, scenario)) == []


def test_every_operator_that_has_a_filter_is_tried() -> None:
    assert set(OPERATORS) == operators_tried() | operators_without_filter()


def stages_of(plan: dict[str, Any]) -> set[str]:
    inner = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return {plan["stage"]}.union(*(stages_of(each) for each in inner))


def test_filter_of_stale_deals_is_served_by_an_index_on_status_and_date(collection: Entities) -> None:
    fresh = [{"_id": number, "status": "open", "last_activity_at": NOW} for number in range(500)]
    stale = [{"_id": 500, "status": "open", "last_activity_at": NOW - timedelta(days=8)}]
    collection.delete_many({})
    collection.insert_many([*fresh, *stale, {"_id": 501, "status": "open", "last_activity": NOW - timedelta(days=9)}])
    collection.create_index([("status", 1), ("last_activity_at", 1)])
    raw = [condition("last_activity_days_ago", "greater_than", 7), condition("status", "equals", "open")]
    explained = collection.find(to_filter(parse_conditions(raw), NOW)).explain()
    collection.drop_indexes()
    assert "COLLSCAN" not in stages_of(explained["queryPlanner"]["winningPlan"])
    assert explained["executionStats"]["nReturned"] == 2
    assert explained["executionStats"]["totalDocsExamined"] <= 4
