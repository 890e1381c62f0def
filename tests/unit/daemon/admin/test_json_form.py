"""BSON as JSON and back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, ObjectId

from daemon.admin.json_form import from_json, parse_instant, to_json
from daemon.admin.problem import Malformed

AN_ID = ObjectId("65f000000000000000000001")
AT = datetime(2026, 5, 4, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AN_ID, "65f000000000000000000001"),
        (AT, "2026-05-04T09:00:00.000Z"),
        (Decimal128("1.50"), "1.50"),
        (Binary(b"\x01\xff"), "01ff"),
        (float("nan"), "nan"),
        ({"a": [AN_ID, None, True, 1.5]}, {"a": ["65f000000000000000000001", None, True, 1.5]}),
    ],
)
def test_whatever_is_stored_becomes_json(value: Any, expected: Any) -> None:
    assert to_json(value) == expected


def test_ids_and_dates_survive_the_way_there_and_back() -> None:
    document = {"value": [AN_ID, {"at": AT}]}
    assert from_json(to_json(document, is_exact=True)) == document


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"$gt": 1}}, "a.$gt"),
        ({"a": [{"$oid": "x"}]}, "a[0]"),
        ({"$date": "tomorrow"}, ""),
        ({"a": {"$date": "9999-12-31T23:59:59Z"}}, "a"),
        ({"a": 10**400}, "a"),
        ({"a": "\ud800"}, "a"),
        ({"$oid": str(AN_ID), "more": 1}, "$oid"),
    ],
)
def test_what_cannot_be_stored_or_could_act_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(Malformed) as caught:
        from_json(value)
    assert caught.value.path == path


@pytest.mark.parametrize(("value", "stored"), [(3.0, 3), (2.5, 2.5), (2**70, float(2**70)), (-(2**63), -(2**63))])
def test_numbers_are_kept_as_mongodb_keeps_them(value: float, stored: float) -> None:
    assert repr(from_json(value)) == repr(stored)


def test_an_instant_without_a_zone_is_utc() -> None:
    assert parse_instant("2026-05-04T09:00:00", "at") == AT
    assert parse_instant("2026-05-04T11:00:00+02:00", "at") == AT
