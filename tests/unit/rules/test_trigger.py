"""A trigger matches the changes it was set for, and says unknown where the event does not tell."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from config.error import WorkflowError
from rules.change import Change, JudgedOn, Kind
from rules.schedule import Schedule
from rules.trigger import Trigger, TriggerType, parse_trigger

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TYPES = ("lead", "deal", "contact")


def parsed(raw: object) -> Trigger:
    return parse_trigger(raw, "trigger", entity_types=TYPES, timezone="Europe/Berlin")


def on_update(**keys: Any) -> Trigger:
    return parsed({"type": "field_updated", "entity_type": "deal", **keys})


def from_to(before: object, after: object) -> Trigger:
    return on_update(field="status", **{"from": before, "to": after})


def change(
    kind: Kind = Kind.UPDATED,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    touched: tuple[str, ...] | None = (),
    judged_on: JudgedOn = JudgedOn.EVENT,
    entity_type: str = "deal",
) -> Change:
    named = None if touched is None else frozenset(touched)
    return Change(entity_type, 1, kind, named, before, after, NOON, "82", (1, 1), judged_on=judged_on)


def updated(before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    return change(before=before, after=after, touched=tuple({*before, *after}))


@pytest.mark.parametrize(
    ("trigger_type", "kind"),
    [("entity_created", Kind.CREATED), ("entity_deleted", Kind.DELETED), ("field_updated", Kind.UPDATED)],
)
def test_a_trigger_matches_its_own_kind_of_change_of_its_own_type_only(trigger_type: str, kind: Kind) -> None:
    trigger = parsed({"type": trigger_type, "entity_type": "deal"})
    document = {"status": "won"}
    before: dict[str, Any] | None = None if kind is Kind.CREATED else {}
    matching = [each for each in Kind if trigger.matches(change(each, before, document, ("status",)))]
    assert matching == [kind]
    assert trigger.matches(change(kind, before, document, ("status",), entity_type="lead")) is False


@pytest.mark.parametrize(
    "raw", [{"type": "manual"}, {"type": "scheduled", "entity_type": "deal", "schedule": "@daily"}]
)
def test_what_runs_by_hand_or_by_the_clock_matches_no_change(raw: dict[str, Any]) -> None:
    assert not any(parsed(raw).matches(change(kind, {"a": 1}, {"a": 2}, ("a",))) for kind in Kind)


def test_a_field_set_to_the_value_it_had_is_no_change() -> None:
    assert on_update(field="status").matches(updated({"status": "won"}, {"status": "won"})) is False
    assert on_update().matches(updated({"status": "won"}, {"status": "won"})) is False


def test_any_field_matches_where_none_is_named() -> None:
    assert on_update().matches(updated({"status": "won", "owner": 1}, {"status": "won", "owner": 2})) is True


def test_one_of_several_fields_is_enough() -> None:
    trigger = on_update(fields=["status", "owner"])
    assert trigger.matches(updated({"status": "won", "owner": 1}, {"status": "won", "owner": 2})) is True
    assert trigger.matches(updated({"title": "a"}, {"title": "b"})) is False


@pytest.mark.parametrize(
    ("field", "touched"), [("address", "address.city"), ("address.city", "address"), ("tags", "tags.0")]
)
def test_parents_and_children_of_a_touched_path_match_where_there_are_no_images(field: str, touched: str) -> None:
    assert on_update(field=field).matches(change(touched=(touched,))) is True
    assert on_update(field=field).matches(change(touched=("other",))) is False


def test_a_replace_without_a_before_image_is_unknown_to_named_and_unnamed_fields() -> None:
    replaced = change(after={"status": "won"}, touched=None)
    assert on_update(field="status").matches(replaced) is None
    assert on_update().matches(replaced) is None


def test_from_and_to_both_have_to_be_met() -> None:
    trigger = from_to("open", "won")
    assert trigger.matches(updated({"status": "open"}, {"status": "won"})) is True
    assert trigger.matches(updated({"status": "lost"}, {"status": "won"})) is False
    assert trigger.matches(updated({"status": "open"}, {"status": "lost"})) is False


def test_from_without_a_before_image_is_unknown() -> None:
    seen = change(after={"status": "won"}, touched=("status",))
    assert on_update(field="status", **{"from": "open"}).matches(seen) is None


def test_to_is_known_without_a_before_image() -> None:
    seen = change(after={"status": "won"}, touched=("status",))
    assert on_update(field="status", to="won").matches(seen) is True
    assert on_update(field="status", to="lost").matches(seen) is False


def test_what_is_known_not_to_match_is_no_match_though_the_rest_is_unknown() -> None:
    seen = change(after={"status": "won"}, touched=("status",))
    assert from_to("open", "lost").matches(seen) is False


def test_to_is_unknown_where_the_entity_is_not_known() -> None:
    assert on_update(field="status", to="won").matches(change(touched=("status",))) is None


def test_to_is_judged_on_the_entity_as_it_is_now_where_there_is_no_after_image() -> None:
    seen = change(after={"status": "won"}, touched=("status",), judged_on=JudgedOn.CURRENT)
    assert on_update(field="status", to="won").matches(seen) is True


def test_null_stands_for_a_missing_value_too() -> None:
    assert from_to(None, "won").matches(updated({}, {"status": "won"})) is True
    assert on_update(field="status", to=None).matches(updated({"status": "won"}, {})) is True


def test_numbers_are_equal_across_types_and_booleans_are_not_numbers() -> None:
    assert from_to(0, 1).matches(updated({"status": 0.0}, {"status": 1.0})) is True
    assert from_to(0, 1).matches(updated({"status": False}, {"status": True})) is False


def test_an_array_meets_a_value_by_one_of_its_elements() -> None:
    assert on_update(field="tags", to="vip").matches(updated({"tags": []}, {"tags": ["new", "vip"]})) is True


@pytest.mark.parametrize(
    ("before", "after", "keys", "expected"),
    [
        (["vip"], ["vip", "new"], {"to": "vip"}, False),
        (["vip", "new"], ["vip"], {"from": "vip"}, False),
        (["new"], ["new", "vip"], {"to": "vip"}, True),
        (["new", "vip"], ["new"], {"from": "vip"}, True),
        (["vip"], "vip", {"to": "vip"}, False),
        (["a"], ["b"], {"from": "a", "to": "b"}, True),
        (["a", "b"], ["b"], {"from": "a", "to": "b"}, False),
    ],
)
def test_to_has_become_true_and_from_has_ceased_to_be(
    before: Any, after: Any, keys: dict[str, Any], expected: bool
) -> None:
    assert on_update(field="tags", **keys).matches(updated({"tags": before}, {"tags": after})) is expected


def test_what_an_array_held_before_is_unknown_without_a_before_image() -> None:
    seen = change(after={"tags": ["vip", "new"]}, touched=("tags",))
    assert on_update(field="tags", to="vip").matches(seen) is None
    assert on_update(field="tags", to="old").matches(seen) is False
    assert on_update(field="tags", **{"from": "vip"}).matches(seen) is False


def test_whether_a_field_changed_can_be_asked_apart_from_its_values() -> None:
    seen = updated({"status": "open"}, {"status": "lost"})
    assert from_to("open", "won").has_changed(seen) is True


def test_a_schedule_takes_the_time_zone_it_is_given_or_the_default() -> None:
    raw = {"type": "scheduled", "entity_type": "deal", "schedule": "0  9 * * *"}
    assert parsed(raw).schedule == Schedule("0 9 * * *", "Europe/Berlin")
    assert parsed({**raw, "timezone": "Asia/Tokyo"}).schedule == Schedule("0 9 * * *", "Asia/Tokyo")


def test_a_manual_trigger_may_leave_the_entity_type_open() -> None:
    assert parsed({"type": "manual"}).entity_type is None
    assert parsed({"type": "manual", "entity_type": "lead"}).entity_type == "lead"


def test_only_triggers_that_follow_a_change_say_so() -> None:
    following = {each for each in TriggerType if each.follows_change}
    assert following == {TriggerType.ENTITY_CREATED, TriggerType.FIELD_UPDATED, TriggerType.ENTITY_DELETED}


def of(trigger_type: str, **keys: Any) -> dict[str, Any]:
    return {"type": trigger_type, "entity_type": "deal", **keys}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "trigger: expected an object, found nothing"),
        ([], "trigger: expected an object, found an empty list"),
        ({}, f"trigger.type: expected one of {', '.join(TriggerType)}; found nothing"),
        (of("entity_creatd"), "trigger.type: expected one of entity_created"),
        (of(["manual"]), "trigger.type: expected one of entity_created"),  # type: ignore[arg-type]
        ({"type": "entity_created"}, "trigger.entity_type: expected one of lead, deal, contact; found nothing"),
        (
            of("entity_created", entity_type="leads"),
            "trigger.entity_type: expected one of lead, deal, contact; found 'leads' (did you mean 'lead'?)",
        ),
        (of("manual", entity_type=None), "trigger.entity_type: expected one of lead, deal, contact; found null"),
        (
            of("entity_created", field="a"),
            "trigger.field: expected only in a field_updated trigger, found in one of type entity_created",
        ),
        (of("field_updated", schedule="@daily"), "trigger.schedule: expected only in a scheduled trigger"),
        (
            of("field_updated", feild="a"),
            "trigger.feild: unknown key (did you mean 'field'?); known here: type, entity_type, field",
        ),
        (of("field_updated", field="a", fields=["b"]), "trigger.fields: expected either field or fields, found both"),
        (of("field_updated", field=["a"]), "trigger.field: expected the dotted path of a field, found the list ['a']"),
        (of("field_updated", field="$where"), "trigger.field: expected a field path without names that start with '$'"),
        (of("field_updated", fields="a"), "trigger.fields: expected a list of 1 to 100 field paths, found 'a'"),
        (
            of("field_updated", fields=[]),
            "trigger.fields: expected a list of 1 to 100 field paths, found an empty list",
        ),
        (of("field_updated", fields=["a", "b..c"]), "trigger.fields[1]: expected a field path without empty names"),
        (
            of("field_updated", field="last_activity_days_ago"),
            "trigger.field: expected a field that is stored, found 'last_activity_days_ago'",
        ),
        (of("field_updated", fields=["a", "due_hours_ago"]), "trigger.fields[1]: expected a field that is stored"),
        (of("field_updated", field="_id.a"), "trigger.field: expected a field that can change, found '_id'"),
        (of("field_updated", field="a", **{"from": 1, "to": 1.0}), "trigger.to: expected another value than in from"),
        (of("field_updated", to="won"), "trigger.to: expected only with exactly one field, found 0 fields"),
        (
            of("field_updated", fields=["a", "b"], to="won"),
            "trigger.to: expected only with exactly one field, found 2 fields",
        ),
        (of("field_updated", field="a", to={"$gt": 1}), "trigger.to: expected"),
        (of("scheduled"), "trigger.schedule: expected five cron fields such as '0 9 * * *', found nothing"),
        (of("scheduled", schedule="daily"), "trigger.schedule: expected five cron fields"),
        (of("scheduled", schedule="@daily", timezone="Mars"), "trigger.timezone: expected a time zone such as"),
        (
            of("scheduled", schedule="@daily", timezone=None),
            "trigger.timezone: expected a time zone such as 'Europe/Lisbon', found null",
        ),
        (of("manual", a=1, b=2, entity_type="x"), "trigger.a: unknown key; known here: type, entity_type (and 2 more)"),
    ],
)
def test_a_wrong_trigger_is_refused_with_its_path(raw: object, message: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        parsed(raw)
    assert str(refused.value).startswith(message)
