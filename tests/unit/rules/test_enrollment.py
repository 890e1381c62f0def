"""An entity enters a workflow as often as its enrollment says, judged by the times of the changes."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import bson
import pytest
from bson import DatetimeMS, Decimal128, Int64, MaxKey, ObjectId, Regex

from config.error import WorkflowError
from rules.budget import TooCostly
from rules.enrollment import Enrollment, Mode, parse_enrollment

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _hash(value: Any) -> str:
    return blake2b(bson.encode({"": value}), digest_size=16).hexdigest()


ONCE_PER = parse_enrollment({"once_per": "last_activity_at"})


def enrolled(execution_id: Any = "first", at: Any = MONDAY) -> dict[str, Any]:
    return {"_id": {}, "execution_id": execution_id, "at": at}


def test_always_keeps_no_enrollment_and_refuses_nobody() -> None:
    always = parse_enrollment("always")
    assert always == Enrollment()
    assert always.key({"a": 1}) is None
    assert always.refusal(enrolled(), "second", MONDAY) is None


def test_once_refuses_every_later_execution() -> None:
    once = parse_enrollment("once")
    assert once.key({"a": 1}) == once.key(None) == "once"
    assert once.refusal(None, "first", MONDAY) is None
    assert once.refusal(enrolled(), "second", MONDAY + timedelta(days=999)) == "already_enrolled"


@pytest.mark.parametrize("raw", ["once", {"cooldown": "7d"}, {"once_per": "a"}])
def test_the_same_execution_found_again_is_a_replay_not_a_refusal(raw: object) -> None:
    assert parse_enrollment(raw).refusal(enrolled("first"), "first", MONDAY) is None


def test_cooldown_refuses_until_it_has_passed_between_the_changes() -> None:
    cooldown = parse_enrollment({"cooldown": "7d"})
    assert cooldown.key({}) == "cooldown"
    assert cooldown.refusal(enrolled(), "second", MONDAY + timedelta(days=7, milliseconds=-1)) == "cooldown"
    assert cooldown.refusal(enrolled(), "second", MONDAY + timedelta(days=7)) is None


def test_a_change_older_than_the_last_entry_is_within_the_cooldown() -> None:
    assert parse_enrollment({"cooldown": "7d"}).refusal(enrolled(), "other", MONDAY - timedelta(days=30)) == "cooldown"


@pytest.mark.parametrize("at", [None, "yesterday", 5, DatetimeMS(2**60)])
def test_a_stored_time_that_is_no_date_holds_nobody_back(at: object) -> None:
    assert parse_enrollment({"cooldown": "7d"}).refusal(enrolled(at=at), "second", MONDAY) is None


def test_once_per_lets_in_again_with_another_value() -> None:
    assert ONCE_PER.key({"last_activity_at": MONDAY}) == {"field": "last_activity_at", "value": MONDAY}
    assert ONCE_PER.refusal(enrolled(), "second", MONDAY) == "already_enrolled"


@pytest.mark.parametrize("entity", [None, {}, {"last_activity_at": None}, {"other": 1}])
def test_a_missing_field_counts_as_null(entity: dict[str, Any] | None) -> None:
    assert ONCE_PER.key(entity) == {"field": "last_activity_at", "value": None}


@pytest.mark.parametrize(
    "value",
    [
        0,
        False,
        1.5,
        "",
        "open",
        b"x",
        MONDAY,
        DatetimeMS(2**60),
        Decimal128("1.1"),
        ObjectId("6566aa000000000000000001"),
    ],
)
def test_a_short_scalar_is_its_own_key(value: object) -> None:
    assert ONCE_PER.key({"last_activity_at": value}) == {"field": "last_activity_at", "value": value}


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0, Int64(1), Decimal128("1.00")),
        (10.5, Decimal128("10.50"), Decimal128("10.5")),
        (1.8e19, Decimal128("1.8E19")),
        (0, 0.0, -0.0, Decimal128("-0")),
        (float("nan"), Decimal128("NaN")),
        (float("inf"), Decimal128("Infinity")),
        (Decimal128("0.10"), Decimal128("0.1")),
        (Decimal128("1E6144"), Decimal128("1.0E6144")),
        ([{"a": 1}], [{"a": Decimal128("1.0")}]),
    ],
)
def test_equal_values_are_one_key_however_they_are_spelled(values: tuple[Any, ...]) -> None:
    keys = [bson.encode({"": ONCE_PER.key({"last_activity_at": value})}) for value in values]
    assert len(set(keys)) == 1


def test_a_value_hashed_by_an_earlier_version_is_found_by_the_spelling_it_had() -> None:
    value = [1.0, Decimal128("2.50")]
    assert {"field": "last_activity_at", "hash": _hash(value)} in ONCE_PER.keys({"last_activity_at": value})
    assert len(ONCE_PER.keys({"last_activity_at": [1]})) == 1


def test_a_value_that_is_too_large_for_a_key_is_told_as_too_costly() -> None:
    for value in ("x" * 16_000_000, list(range(300_000))):
        with pytest.raises(TooCostly):
            ONCE_PER.key({"last_activity_at": value})


@pytest.mark.parametrize("value", ["é" * 100, {"$gt": 1}, {"a.b": 1}, [1, 2], [], Regex("^a"), MaxKey()])
def test_what_is_no_short_scalar_is_hashed(value: object) -> None:
    key = ONCE_PER.key({"last_activity_at": value})
    assert key == ONCE_PER.key({"last_activity_at": bson.decode(bson.encode({"v": value}))["v"]})
    assert set(key) == {"field", "hash"}
    assert len(key["hash"]) == 32


def test_different_values_have_different_hashes() -> None:
    values: list[object] = ["x" * 300, "x" * 301, {"a": 1, "b": 2}, {"b": 2, "a": 1}, [1, 2], [2, 1]]
    assert len({ONCE_PER.key({"last_activity_at": value})["hash"] for value in values}) == len(values)


def test_the_field_may_be_within_an_object() -> None:
    assert parse_enrollment({"once_per": "stage.id"}).key({"stage": {"id": 7}}) == {"field": "stage.id", "value": 7}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "enrollment: expected 'always', 'once', {cooldown: DURATION} or {once_per: FIELD}, found null"),
        (True, "enrollment: expected 'always', 'once', {cooldown: DURATION} or {once_per: FIELD}, found true"),
        ({}, "enrollment: expected 'always', 'once', {cooldown: DURATION} or {once_per: FIELD}, found an empty object"),
        ({"cooldown": "7d", "once_per": "a"}, "enrollment: expected 'always', 'once'"),
        (["once"], "enrollment: expected 'always', 'once'"),
        ("onec", "enrollment: expected one of always, once; found 'onec' (did you mean 'once'?)"),
        ("cooldown", "enrollment: expected one of always, once; found 'cooldown'"),
        ({"cool_down": "7d"}, "enrollment.cool_down: unknown key (did you mean 'cooldown'?)"),
        ({"cooldown": "often"}, "enrollment.cooldown: expected a number of seconds"),
        ({"cooldown": 0}, "enrollment.cooldown: expected a duration longer than 0, found 0"),
        (
            {"once_per": "$where"},
            "enrollment.once_per: expected a field path without names that start with '$', found '$where'",
        ),
        ({"once_per": "a..b"}, "enrollment.once_per: expected a field path without empty names, found 'a..b'"),
        ({"once_per": "a\0"}, "enrollment.once_per: expected a field path without NUL characters, found 'a\\x00'"),
        ({"once_per": "a" * 501}, "enrollment.once_per: expected a field path of at most 500 characters, found 501"),
        ({"once_per": "last_activity_days_ago"}, "enrollment.once_per: expected a field that is stored, found"),
        ({"once_per": 3}, "enrollment.once_per: expected the dotted path of a field, found 3"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_path(raw: object, message: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        parse_enrollment(raw)
    assert str(refused.value).startswith(message)


def test_the_mode_is_known_to_who_asks() -> None:
    assert [parse_enrollment(raw).mode for raw in ("always", "once", {"cooldown": 1}, {"once_per": "a"})] == list(Mode)
