"""What was found is shown short, printable and on one line, whatever it is."""

from datetime import UTC, datetime

import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st

from config.found import found, name_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (Int64(3), "3"),
        pytest.param(10**5000, "an integer of more than 60 digits", id="huge"),
        (1.5, "1.5"),
        ("5x", "'5x'"),
        ({}, "an empty object"),
        ([], "an empty list"),
        ({"a": 1}, "the object {a: 1}"),
        ([1, "b"], "the list [1, 'b']"),
        (
            {"a": True, "b c": None, "d": [1.5, {"e": []}], "f": 1},
            "the object {a: true, 'b c': null, d: [1.5, {…}], …}",
        ),
        ([None, False, [[[]]]], "the list [null, false, [[…]]]"),
        (datetime(2026, 5, 4, tzinfo=UTC), "2026-05-04T00:00:00.000Z"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (b"\xff" * 99, "99 bytes"),
        (Binary(b"\xff", 5), "1 bytes of subtype 5"),
        (Regex("a\nb"), "/a\\nb/"),
        (Code("f()", {"a": 1}), "Code('f()')"),
        (DatetimeMS(10**15), "the date 1000000000000000 ms after 1970"),
        (Decimal128("1.50"), "Decimal128('1.50')"),
        ("\ud800", "'\\ud800'"),
        (ObjectId("6566aa000000000000000001"), "ObjectId('6566aa000000000000000001')"),
    ],
)
def test_a_value_is_shown_as_people_write_it(value: object, text: str) -> None:
    assert found(value) == text


@pytest.mark.parametrize(
    "value",
    [Regex("a"), Code("f()"), DBRef("a", 1), MaxKey(), Decimal128("NaN"), b"\xff" * 99, {1: {"a": [[]]}, "b": 2}],
)
def test_unusual_values_are_shown_on_one_short_line(value: object) -> None:
    text = found(value)
    assert 0 < len(text) <= 80
    assert text.isprintable()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_value_is_shown_on_more_than_80_characters(value: object) -> None:
    assert len(found(value)) <= 80


def test_a_value_of_megabytes_is_cut_short() -> None:
    assert len(found({"k" * 5_000_000: ["v" * 5_000_000] * 3})) <= 80


@pytest.mark.parametrize(
    ("key", "text"),
    [("delay", "delay"), ("a\0b", "a\\x00b"), ("\ud800", "\\ud800"), (7, "7"), ("k" * 999, "k" * 79 + "…")],
)
def test_a_key_is_shown_printable_and_short(key: object, text: str) -> None:
    assert name_of(key).startswith(text[:60])
    assert len(name_of(key)) <= 80
    assert name_of(key).isprintable()
