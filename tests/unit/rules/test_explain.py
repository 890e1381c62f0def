"""Explanations are small, and can be stored whatever was found."""

from typing import Any

import bson
import pytest

from rules.conditions import Finding
from rules.explain import Reason, Refusal, abridged, finding_document
from rules.path import MISSING


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
