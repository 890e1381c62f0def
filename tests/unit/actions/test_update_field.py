"""Setting a field of the entity."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from actions.outcome import Done, EntityUpdate
from actions.registry import parse_action
from config.error import WorkflowError
from tests.unit.actions.factory import a_context


@pytest.mark.parametrize(
    "value",
    ["won", None, 3, 2.5, True, Decimal128("1.10"), ObjectId(), datetime(2026, 1, 1, tzinfo=UTC), [1, {"a": 2}], {}],
)
async def test_value_is_written_as_it_is(value: Any) -> None:
    outcome = await parse_action("update_field", {"field": "stage.name", "value": value}, "actions[0]").run(a_context())

    assert outcome == Done({"field": "stage.name"}, (EntityUpdate({"stage.name": value}),))


@pytest.mark.parametrize(
    "field", ["_id", "_id.part", "", "a..b", ".a", "a.", "$where", "a.$[].b", "a\0b", 5, None, "a" * 501]
)
def test_field_that_cannot_be_written_is_refused_with_its_path(field: Any) -> None:
    with pytest.raises(WorkflowError, match=r"^actions\[1\]\.field: expected ") as caught:
        parse_action("update_field", {"field": field, "value": 1}, "actions[1]")

    assert caught.value.path == "actions[1].field"


def test_missing_value_is_refused_and_null_is_not() -> None:
    parse_action("update_field", {"field": "owner", "value": None}, "actions[0]")

    with pytest.raises(WorkflowError, match=r"^actions\[0\]\.value: expected a value"):
        parse_action("update_field", {"field": "owner"}, "actions[0]")


def test_value_that_bson_cannot_hold_is_refused() -> None:
    with pytest.raises(WorkflowError, match=r"^actions\[0\]\.value: expected a BSON value, found int"):
        parse_action("update_field", {"field": "owner", "value": 2**80}, "actions[0]")
