"""BSON as JSON and back."""

import json
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)

from daemon.admin.json_form import MOST_PARTS, from_json, parse_instant, parse_json, to_json
from daemon.admin.problem import Malformed

AN_ID = ObjectId("65f000000000000000000001")
AT = datetime(2026, 5, 4, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AN_ID, "65f000000000000000000001"),
        (AT, "2026-05-04T09:00:00.000Z"),
        (Decimal128("1.50"), {"$numberDecimal": "1.50"}),
        (b"\x01\xff", {"$binary": {"base64": "Af8=", "subType": "00"}}),
        (float("nan"), {"$numberDouble": "NaN"}),
        (Int64(2**53), 2**53),
        (Int64(2**53 + 1), {"$numberLong": "9007199254740993"}),
        ({"$oid": "x"}, {"$literal": {"$oid": "x"}}),
        ({"a": [AN_ID, None, True, 1.5]}, {"a": ["65f000000000000000000001", None, True, 1.5]}),
    ],
)
def test_whatever_is_stored_becomes_json(value: Any, expected: Any) -> None:
    assert to_json(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(AN_ID, AT, datetime(9999, 12, 31, tzinfo=UTC), datetime(1901, 1, 1, tzinfo=UTC), DatetimeMS(2**60)),
        *(Decimal128("1000"), Decimal128("-0E+3"), Decimal128("NaN"), 3.0, -0.0, 1e300, float("-inf"), 2.5),
        *(
            Int64(2**62),
            Int64(5),
            Int64(-(2**31)),
            7,
            2**31,
            2**53,
            -(2**63),
            True,
            None,
            "text",
            "",
            Timestamp(5, 4294967295),
        ),
        *(b"bytes", Binary(b"\1" * 16, 4), Binary(b"\1" * 16, 3), Binary(b"", 128)),
        *(Regex("^a", "im"), Code("x"), Code("x", {"a": AN_ID}), MinKey(), MaxKey(), DBRef("leads", AN_ID, "crm")),
    ],
    ids=repr,
)
def test_every_type_survives_the_way_there_and_back(value: Any) -> None:
    document = {"value": [value, {"at": value}]}
    read = from_json(parse_json(json.dumps(to_json(document, is_exact=True))))
    assert bson.encode(read) == bson.encode(document)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"$gt": 1}}, "a.$gt"),
        ({"a": [{"$oid": "x"}]}, "a[0]"),
        ({"$date": "tomorrow"}, ""),
        ({"a": {"$date": "9999-12-31T23:59:59Z"}}, "a"),
        ({"a": 10**400}, "a"),
        ({"a": "\ud800"}, "a"),
        ({"$oid": str(AN_ID), "more": 1}, ""),
        ({"a": {"$literal": {}}}, "a.$literal"),
        ({"a": [1, float("nan")]}, "a[1]"),
        ({"a": {"$numberDecimal": 5}}, "a"),
        ({"a": {"$numberDecimal": "1,5"}}, "a"),
        ({"a": {"$numberLong": "9223372036854775808"}}, "a"),
        ({"a": {"$numberInt": "1.5"}}, "a"),
        ({"a": {"$numberDouble": "1_0"}}, "a"),
        ({"a": {"$uuid": "550e8400"}}, "a"),
        ({"a": {"$binary": "AA=="}}, "a"),
        ({"a": {"$binary": {"base64": "?", "subType": "00"}}}, "a"),
        ({"a": {"$timestamp": {"t": -1, "i": 0}}}, "a"),
        ({"a": {"$regularExpression": {"pattern": "a", "options": "q"}}}, "a"),
        ({"a": {"$minKey": True}}, "a"),
        ({"a": {"$ref": "leads"}}, "a"),
        ({"a": {"$scope": {}}}, "a"),
    ],
)
def test_what_cannot_be_stored_or_could_act_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(Malformed) as caught:
        from_json(value)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("value", "stored"), [(3.0, 3.0), (-0.0, -0.0), (2.5, 2.5), (2**70, float(2**70)), (-(2**63), -(2**63))]
)
def test_numbers_are_kept_as_mongodb_keeps_them(value: float, stored: float) -> None:
    assert repr(from_json(value)) == repr(stored)


def test_an_instant_without_a_zone_is_utc() -> None:
    assert parse_instant("2026-05-04T09:00:00", "at") == AT
    assert parse_instant("2026-05-04T11:00:00+02:00", "at") == AT


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1, "b": {"name": 1, "name": 2}}', "name"),
        ('{"value": NaN}', "value"),
        ('{"value": -Infinity}', "value"),
        ('{"value": 1e999}', "value"),
        ("[" * 100_000, "body"),
        (b"\xff", "body"),
        (f"[{'1,' * MOST_PARTS}1]", "body"),
    ],
)
def test_json_of_two_meanings_or_none_is_refused_by_its_key(text: str | bytes, path: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_json(text)
    assert caught.value.path == path
