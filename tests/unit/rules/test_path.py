"""What stands at a dotted path, for people and as a MongoDB query sees it."""

from typing import Any

import pytest
from bson import DBRef

from rules.path import MISSING, leaves_at, value_at, values_at


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a": [{"b": 1}, {"c": 2}]}, "a.b", [1]),
        ({"a": [1, 2]}, "a.1", 2),
        ({"a": [1, 2]}, "a.2", MISSING),
        ({"a": [1, 2]}, "a." + "9" * 5_000, MISSING),
        ({"a": 1}, "a.b", MISSING),
        ({}, "a", MISSING),
        (None, "a", MISSING),
    ],
)
def test_value_at_finds_the_value_to_show(document: Any, path: str, value: Any) -> None:
    assert value_at(document, path) == value


@pytest.mark.parametrize(
    ("document", "path", "leaves", "values"),
    [
        ({"a": 1}, "a", [1], [1]),
        ({}, "a", [MISSING], [MISSING]),
        ({"a": [1, 2]}, "a", [[1, 2]], [1, 2, [1, 2]]),
        ({"a": {"b": [1]}}, "a.b", [[1]], [1, [1]]),
        ({"a": 1}, "a.b", [MISSING], [MISSING]),
        ({"a": [{"b": 1}, {}]}, "a.b", [1, MISSING], [1, MISSING]),
        ({"a": [{"b": [1]}, 5]}, "a.b", [[1]], [1, [1]]),
        ({"a": [1, 2]}, "a.b", [], []),
        ({"a": [[1, 2]]}, "a.0", [[1, 2]], [[1, 2]]),
        ({"a": [[1, 2]]}, "a.0.1", [2], [2]),
        ({"a": [{"0": 5}]}, "a.0", [5, {"0": 5}], [5, {"0": 5}]),
        ({"a": [7, 8]}, "a.00", [], []),
        ({"a": [7, 8]}, "a.٠", [], []),
        ({"a": DBRef("leads", 1, name="x")}, "a.name", ["x"], ["x"]),
    ],
)
def test_leaves_and_values_are_those_a_query_sees(document: Any, path: str, leaves: Any, values: Any) -> None:
    assert leaves_at(document, path.split(".")) == leaves
    assert values_at(document, path.split(".")) == values
