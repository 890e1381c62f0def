"""Explanations are small, and can be stored whatever was found."""

from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from rules.conditions import Finding
from rules.explain import Reason, Refusal, abridged, finding_document, missed
from rules.judgement import judge
from rules.path import MISSING
from rules.workflow import WorkflowStatus
from tests.support.bench import created
from tests.support.change import a_creation, a_workflow


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (5, 5),
        ("won", "won"),
        ("x" * 500, "x" * 200 + "…"),
        ([1, 2], [1, 2]),
        (list(range(500)), "array of 500"),
        ({"a": "x" * 500}, "document of 1"),
        (b"abc", "3 bytes"),
    ],
)
def test_large_values_are_cut(value: Any, expected: Any) -> None:
    assert abridged(value) == expected


def test_a_value_that_bson_cannot_hold_is_only_counted() -> None:
    assert abridged([2**70]) == "array of 1"


def test_a_missing_field_has_no_actual() -> None:
    document = finding_document(Finding("conditions[0]", "a", "equals", 1, MISSING, False))
    assert "actual" not in document
    assert document["verdict"] == "not_met"


def test_what_cannot_be_known_is_said_to_be_unknown() -> None:
    assert finding_document(Finding("trigger", "a", "changed_from", 1, MISSING, None))["verdict"] == "unknown"


def test_a_refusal_shows_at_most_ten_conditions_and_can_be_stored() -> None:
    findings = tuple(Finding(f"conditions[{n}]", "a", "equals", n, "x", False) for n in range(30))
    document = Refusal("w", "W", 3, Reason.CONDITION, findings).to_document()
    assert len(document["conditions"]) == 10
    assert document["reason"] == "condition_not_met"
    bson.encode(document)


@pytest.mark.parametrize("field", ["seen", "seen_days_ago"])
@pytest.mark.parametrize(("operator", "words"), [("exists", "exists true"), ("not_exists", "not_exists true")])
def test_a_condition_without_a_value_is_told_and_can_be_stored(field: str, operator: str, words: str) -> None:
    workflow = a_workflow(created(), conditions=[{"field": field, "operator": operator}])
    lead = {} if operator == "exists" else {"seen": 1, "seen_at": datetime(2026, 1, 1, tzinfo=UTC)}
    refusal = judge(workflow, WorkflowStatus.ACTIVE, a_creation(lead), 5)
    assert isinstance(refusal, Refusal)
    assert bson.encode(refusal.to_document())
    assert missed(refusal.findings[0]).startswith(f"{field} {words}, found ")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"field": "a", "operator": "is_empty"}, "a is_empty, found {b: [1, 'x', null]}"),
        ({"field": "a", "operator": "equals", "value": None}, "a equals null, found {b: [1, 'x', null]}"),
        ({"none": [{"field": "a.b", "operator": "contains", "value": "x"}]},
         "none of a.b contains 'x', found [1, 'x', null]"),
        ({"field": "c", "operator": "in", "value": [True, 1.5]}, "c in [true, 1.5], found nothing"),
    ],
)  # fmt: skip
def test_what_was_not_met_is_told_in_words_of_mongosh(condition: dict[str, Any], words: str) -> None:
    lead = {"a": {"b": [1, "x", None]}}
    refusal = judge(a_workflow(created(), conditions=[condition]), WorkflowStatus.ACTIVE, a_creation(lead), 5)
    assert isinstance(refusal, Refusal)
    assert missed(refusal.findings[0]) == words
