"""One text for every id there may be, and what a text may mean."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from daemon.admin.identifier import id_text, readings, record_json
from daemon.admin.problem import Malformed
from rules.value import is_equal

A_UUID = UUID("550e8400-e29b-41d4-a716-446655440000")
IDS: list[Any] = [
    *(ObjectId("65f000000000000000000001"), "65f000000000000000000001", "65F000000000000000000001"),
    *(5, "5", -5, "-5", 0, "-0", "007", 2**62, Int64(7), str(2**70), True, "true", False, "false", None, "null"),
    *(1.5, "1.5", 5.0, "5.0", 1e22, "1e5", float("inf"), Decimal128("0.1"), Decimal128("5"), Decimal128("NaN")),
    *(
        "",
        " ",
        ".",
        "..",
        "a/b",
        "a%2Fb",
        "ação 🎉",
        '"quoted"',
        '"',
        "{",
        '{"$ne": 1}',
        "[1]",
        "a\0b",
        "a\nb",
        "x" * 9_000,
    ),
    *(Binary(A_UUID.bytes, 4), str(A_UUID), Binary(A_UUID.bytes, 3), b"\x01\xff", Binary(b"", 0x80)),
    *(datetime(2026, 5, 4, 9, tzinfo=UTC), "2026-05-04T09:00:00.000Z", DatetimeMS(2**60), Timestamp(3, 4)),
    *(
        {"a": 1, "b": {"c": ObjectId("65f000000000000000000001")}},
        {},
        {"b": 1.0, "a": "5"},
        MinKey(),
        MaxKey(),
        Code("x"),
    ),
]


@pytest.mark.parametrize("value", IDS, ids=repr)
def test_what_is_listed_means_what_it_was_listed_for(value: Any) -> None:
    assert is_equal(readings(id_text(value))[0], value)


def test_different_ids_are_listed_differently() -> None:
    texts = {id_text(value): value for value in IDS}
    for value in IDS:
        assert is_equal(texts[id_text(value)], value)


@given(st.text(min_size=1, max_size=30, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_is_listed_as_what_means_it(text: str) -> None:
    assert readings(id_text(text))[0] == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("65f000000000000000000001", [ObjectId("65f000000000000000000001"), "65f000000000000000000001"]),
        ("5", [5, "5"]),
        ('{"$numberInt":"5"}', [5]),
        ('"5"', ["5"]),
        ("1.5", [1.5, Decimal128("1.5"), "1.5"]),
        ("null", [None, "null"]),
        (str(A_UUID), [str(A_UUID), Binary(A_UUID.bytes, 4)]),
        ("2026-05-04T09:00:00Z", ["2026-05-04T09:00:00Z", datetime(2026, 5, 4, 9, tzinfo=UTC)]),
        ("a@example.com", ["a@example.com"]),
    ],
)
def test_a_typed_id_may_mean_more_than_one(text: str, expected: list[Any]) -> None:
    assert readings(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 17_000,
        "\ud800",
        '{"$ne": null}',
        "{",
        '{"$oid": "x"}',
        '{"$regularExpression": {"pattern": "a", "options": ""}}',
    ],
)
def test_what_can_be_no_id_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        readings(text)


def test_a_record_shows_its_ids_as_text_and_leaves_what_users_wrote() -> None:
    record = {"_id": 5, "entries": [{"workflow_id": "5", "detail": {"id": 7}}], "result": {"id": 7}}
    shown = {"_id": "5", "entries": [{"workflow_id": '"5"', "detail": {"id": 7}}], "result": {"id": 7}}
    assert record_json(record) == shown
    assert bson.encode(record)
