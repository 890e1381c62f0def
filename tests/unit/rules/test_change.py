"""What counts as a change of a field, with images, without, and when nobody can know."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import DatetimeMS, Decimal128

from rules.budget import TooCostly
from rules.change import JudgedOn
from tests.support.change import a_creation, a_deletion, an_update


@pytest.mark.parametrize(
    ("before", "after", "path", "expected"),
    [
        ({"a": 1}, {"a": 2}, "a", True),
        ({"a": 1}, {"a": 1}, "a", False),
        ({"a": 1}, {"a": 1.0}, "a", False),
        ({"a": 1}, {"a": True}, "a", True),
        ({}, {"a": None}, "a", False),
        ({"a": None}, {}, "a", False),
        ({"a": Decimal128("10.50")}, {"a": Decimal128("10.5")}, "a", False),
        ({"a": Decimal128("100")}, {"a": 100}, "a", False),
        ({"a": Decimal128("100")}, {"a": 100.5}, "a", True),
        ({"a": 0.0}, {"a": -0.0}, "a", False),
        ({"a": DatetimeMS(5)}, {"a": datetime(1970, 1, 1, microsecond=5_999, tzinfo=UTC)}, "a", False),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a", True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, "a.b", False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, "a", True),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "a.b", True),
        ({"a": [1, 2]}, {"a": [1, 3]}, "a.0", False),
        ({"a": float("nan")}, {"a": float("nan")}, "a", False),
    ],
)
def test_where_both_images_are_known_the_values_decide(
    before: dict[str, Any], after: dict[str, Any], path: str, expected: bool
) -> None:
    assert an_update(before, after, {"a", "z"}).has_changed(path) is expected


@pytest.mark.parametrize(
    ("path", "touched", "expected"),
    [
        ("a", {"a"}, True),
        ("a", {"a.b"}, True),
        ("a.b", {"a"}, True),
        ("a.b", {"a.c"}, False),
        ("a", {"ab"}, False),
        ("a", set(), False),
        ("a", None, None),
    ],
)
def test_without_a_before_image_the_named_paths_their_parents_and_children_decide(
    path: str, touched: set[str] | None, expected: bool | None
) -> None:
    assert an_update(None, {"a": 1}, touched).has_changed(path) is expected


def test_an_image_taken_later_is_not_compared() -> None:
    change = an_update({"a": 1}, {"a": 1}, {"a"}, judged_on=JudgedOn.CURRENT)
    assert change.has_changed("a") is True
    assert change.has_changed_at_all() is True


def test_only_updates_change_a_value() -> None:
    assert a_creation({"a": 1}).has_changed("a") is False
    assert a_deletion({"a": 1}).has_changed("a") is False
    assert a_creation({"a": 1}).has_changed_at_all() is False


def test_fields_in_another_order_are_no_change_of_the_document() -> None:
    assert an_update({"a": 1, "b": 2}, {"b": 2, "a": 1}, None).has_changed_at_all() is False
    assert an_update({"a": 1}, {"a": 1, "b": None}, None).has_changed_at_all() is False
    assert an_update({"a": 1}, {"a": 1, "b": 2}, None).has_changed_at_all() is True


def test_a_field_with_a_dot_in_its_name_changes_too() -> None:
    assert an_update({"a.b": 1}, {"a.b": 2}, {"a.b"}).has_changed_at_all() is True
    assert an_update({"a": {"b.c": 1}}, {"a": {"b.c": 2}}, {"a.b.c"}).has_changed("a") is True


def test_a_change_within_a_value_that_is_too_large_to_compare_is_seen_by_what_the_event_names() -> None:
    before, after = ({"a": [*range(300_000), last]} for last in (1, 2))
    assert an_update(before, after, {"a.300000"}).has_changed("a") is True
    with pytest.raises(TooCostly):
        an_update(before, after, {"a"}).has_changed("a")
    assert an_update(before, after, None).touched_names() is None


def test_a_replace_without_a_before_image_may_have_changed_anything() -> None:
    assert an_update(None, {"a": 1}, None).has_changed_at_all() is None


def test_a_deleted_entity_is_judged_as_it_last_was() -> None:
    assert a_deletion({"a": 1}).entity == {"a": 1}
