"""What the values of a document are in a template: as BSON has them, through the rendering process."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from actions.rendering import Renderer
from config.error import PermanentActionError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
UUID = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")
ENTITY: dict[str, Any] = {
    "_id": ObjectId("69a54d900123456789abcdef"),
    "amount": Decimal128("1234.50"),
    "rate": Decimal128("0.1"),
    "huge": Decimal128("1E+6000"),
    "endless": Decimal128("Infinity"),
    "no_number": Decimal128("NaN"),
    "signalling": Decimal128("sNaN"),
    "count": Int64(7),
    "big": 2**62,
    "price": 10.0,
    "nan": float("nan"),
    "inf": float("inf"),
    "uuid": Binary(UUID.bytes, 4),
    "old_uuid": Binary(UUID.bytes, 3),
    "bytes": b"\0\xff",
    "marked": Binary(b"\0\xff", 255),
    "nothing": None,
    "yes": True,
    "future": datetime(2027, 1, 1, tzinfo=UTC),
    "past": datetime(2025, 1, 1, tzinfo=UTC),
    "far": DatetimeMS(10**15),
    "long_ago": DatetimeMS(-(10**15)),
    "stamp": Timestamp(5, 1),
    "pattern": Regex("^a+$"),
    "code": Code("x", {"y": [1] * 30_000}),
    "reference": DBRef("leads", ObjectId("69a54d900123456789abcdef")),
    "first": MinKey(),
    "last": MaxKey(),
    "ids": [ObjectId("69a54d900123456789abcdef"), None],
    "mixed": [2, None, "b", True, Decimal128("1.5"), "a", 1],
    "prices": [Decimal128("1.10"), 2.2, 3],
    "day": "2027-01-01",
    "word": "soon",
    "seconds": 1.7e9,
    "one": Decimal128("1"),
    "two": 2.0,
    "parts": {
        "price": Decimal128("1.10"),
        "at": datetime(2025, 1, 1, tzinfo=UTC),
        'a"b': [None, True, ObjectId("69a54d900123456789abcdef")],
    },
    "void": "",
}

renderer = Renderer()


@pytest.fixture(scope="module", autouse=True)
async def _stopped() -> AsyncIterator[None]:
    yield
    await renderer.stop()


async def rendered(source: str) -> str:
    values = {"entity": ENTITY, "deal": ENTITY, "now": NOW}
    return (await renderer.render({"text": source.replace("e.", "entity.")}, values))["text"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ e.amount }} {{ deal.amount }}", "1234.50 1234.50"),
        ("{{ e.amount | times: 2 }}", "2469.00"),
        ("{{ e.amount | plus: 0.1 }} {{ e.amount | minus: e.count }}", "1234.60 1227.50"),
        ("{{ e.amount | divided_by: 4 }} {{ e.amount | modulo: 1000 }}", "308.625 234.50"),
        ("{{ e.amount | round }} {{ e.amount | round: 1 }} {{ e.amount | ceil }} {{ e.amount | floor }}",
         "1234 1234.5 1235 1234"),
        ("{{ e.amount | at_most: 1000 }} {{ e.amount | at_least: 2000.5 }} {{ -5 | abs }}", "1000 2000.5 5"),
        ("{{ e.huge }} {{ e.huge | ceil }} {{ e.huge | round: 2 }}", "1E+6000 1E+6000 1E+6000"),
        ("{{ e.endless }} {{ e.endless | round }} {{ e.endless | minus: e.endless }}", "Infinity Infinity NaN"),
        ("{{ e.no_number | plus: 1 }} {{ e.signalling | round: 1 }} {{ e.nan | ceil }} {{ e.inf | floor }}",
         "NaN NaN nan inf"),
        ("{{ e.count | plus: 1 }} {{ e.big | times: 2 }} {{ e.price }}", "8 9223372036854775808 10.0"),
        ("{{ 0.1 | plus: 0.2 }} {{ 7 | divided_by: 2 }} {{ '3' | times: '4' }} {{ 'x' | plus: 1 }}", "0.3 3 12 1"),
        ("{{ e.yes | plus: 1 }} {{ e.prices | sum }} {{ e.mixed | sum }}", "1 6.30 4.5"),
        ("{{ e._id }} {{ e.uuid }}", f"69a54d900123456789abcdef {UUID}"),
        ("{{ e.old_uuid }} {{ e.bytes }} {{ e.marked }}", f"{UUID} AP8= AP8="),
        ("{{ e.ids | join: ',' }} {{ e.ids }}", "69a54d900123456789abcdef, 69a54d900123456789abcdef"),
        ("{{ e.pattern }} {{ e.code }} {{ e.reference }} {{ e.first }} {{ e.last }}",
         "^a+$ x 69a54d900123456789abcdef MinKey MaxKey"),
        ("{{ e.past }} {{ e.stamp }}", "2025-01-01 00:00:00+00:00 1970-01-01 00:00:05+00:00"),
        ("{{ e.far }} {{ e.far | date: '%Y' }}", "+033658-09-27 01:46:40+00:00 +033658-09-27 01:46:40+00:00"),
        ("{{ e.long_ago }}", "-029719-04-05 22:13:20+00:00"),
        ("{{ e.past | date: '%d.%m.%Y' }} {{ e.stamp | date: '%H:%M:%S' }} {{ 5 | date: '%S' }}",
         "01.01.2025 00:00:05 05"),
        ("{{ 'now' | date: '%Y-%m-%d' }} {{ today }} {{ now | date: '%H:%M' }}", "2026-03-02 2026-03-02 09:00"),
        ("{{ e.yes | date: '%d' }} {{ e.ids | date: '%d' }} {{ e.past | date: e.missing }}",
         "true 69a54d900123456789abcdef 2025-01-01 00:00:00+00:00"),
        ("{{ e.word | date: '%d' }} {{ '5 March 2020 12:00 XYZ' | date: '%d.%m.' }}", "soon 05.03."),
        ("{{ e.seconds | date: '%Y' }} {{ e.amount | date: '%Y' }} {{ e.nan | date: '%Y' }}{{ e.inf | date: '%Y' }}",
         "2023 1970 naninf"),
        ("{{ e.mixed[e.one] }}{{ e.mixed[e.two] }} {{ 'abcd' | slice: e.one, e.two }} {{ e.mixed[e.rate] }}", "b bc "),
        ("{{ e.parts }} {{ e.parts | append: '!' | size }}",
         '{"price": 1.10, "at": "2025-01-01 00:00:00+00:00", "a\\"b": [null, true, "69a54d900123456789abcdef"]} 101'),
        ("{{ e.yes }} {{ e.yes | append: '!' }} {{ e.mixed | sort | join: ' ' }}", "true true! 1 1.5 2 a b true "),
    ],
)  # fmt: skip
async def test_value_is_what_it_stands_for(source: str, text: str) -> None:
    assert await rendered(source) == text


@pytest.mark.parametrize(
    "condition",
    [
        "e.amount > 1000", "e.amount >= 1234.5", "e.amount == 1234.5", "e.rate == 0.1", "e.rate < 0.2", "e.count == 7",
        "e.huge > e.big", "e.endless > e.huge", "e.future > now", "e.past < now", "e.past <= e.past", "e.far > now",
        "e.long_ago < e.past", "e.future == e.day", "e.future >= e.day", "e.past < '2026-01-01T00:00:00Z'",
        "e.uuid == '550e8400-e29b-41d4-a716-446655440000'", "e._id == '69a54d900123456789abcdef'",
        "e.ids contains '69a54d900123456789abcdef'", "e.prices contains 1.1", "e.word contains 'oo'",
        "e.void == empty", "e.void == blank", "e.prices != empty",
        "e.nothing == nil", "e.missing == nil", "e.nothing == blank", "e.missing == blank", "e.nothing == e.missing",
    ],
)  # fmt: skip
async def test_condition_is_true(condition: str) -> None:
    assert await rendered(f"{{% if {condition} %}}yes{{% else %}}no{{% endif %}}") == "yes"


@pytest.mark.parametrize(
    "condition",
    [
        "e.no_number > 1", "e.no_number < 1", "e.signalling == 1", "e.nan <= 1", "e.amount > 'x'", "e.word < 5",
        "e.future < now", "e.future > 'x'", "e.future > 5", "e.nothing > 1", "e.nothing < 1", "e.missing >= 0",
        "e.yes == 1", "e.yes > 0", "e.amount contains 1", "e.nothing contains 'x'", "e.ids contains 'x'",
        "e.mixed < 5",
    ],
)  # fmt: skip
async def test_condition_on_what_cannot_be_compared_is_false(condition: str) -> None:
    assert await rendered(f"{{% if {condition} %}}yes{{% else %}}no{{% endif %}}") == "no"


@pytest.mark.parametrize("value", ["e.nothing", "e.missing", "e.missing.there"])
@pytest.mark.parametrize(
    "filters",
    ["date: '%d'", "append: V", "prepend: V", "capitalize", "downcase", "upcase", "escape", "escape_once", "escapejs",
     "first", "last", "join: ', '", "join: V", "lstrip", "newline_to_br", "remove: V", "replace: 'a', V",
     "replace_first: V, V", "replace_last: V, V", "reverse", "slice: 0, 3", "slice: V", "sort", "sort_natural",
     "split: V", "strip_html", "squish", "truncate: 5", "truncatewords: V", "uniq", "compact", "concat: V", "map: 'x'",
     "where: 'x', 1", "find: 'x'", "url_encode", "url_decode", "base64_encode", "base64_decode", "default: V"],
)  # fmt: skip
async def test_null_and_missing_are_blank_in_every_filter(filters: str, value: str) -> None:
    assert await rendered(f"{{{{ {value} | {filters.replace('V', value)} }}}}") == ""


@pytest.mark.parametrize("value", ["e.nothing", "e.missing"])
async def test_null_and_missing_are_blank_as_arguments(value: str) -> None:
    filters = [
        "append: V",
        "prepend: V",
        "remove: V",
        "truncate: V",
        "truncatewords: V",
        "replace: 'x', V",
        "default: V",
    ]
    source = "".join(f"{{{{ 'abc' | {each.replace('V', value)} }}}} " for each in filters)

    assert await rendered(source) == "abc " * len(filters)
    assert await rendered(f"{{{{ 1.26 | round: {value} }}}} {{{{ 4 | plus: {value} | times: 2 }}}}") == "1 8"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "{{ '123456789012345678' | date: '%Y' }}",
            "date: expected seconds since 1970 up to the year 9999, found 18 digits",
        ),
        ("{{ e.past | date }}", "date: expected 1 argument, found 0"),
        ("{{ e.amount | divided_by: 0 }}", "divided_by: can't divide by 0"),
        ("{{ e.amount | modulo: e.nothing }}", "modulo: can't divide by 0"),
        ("{{ 'QQ=' | base64_decode }}", "base64"),
        ("{{ e.bytes | base64_decode | base64_decode }}", "while rendering|base64"),
        ("{{ 'x' | concat: 5 }}", "concat: expected a list, found a number"),
        ("{% for i in (1..2) %}{% cycle %}{% endfor %}", "missing expression"),
    ],
)
async def test_template_that_cannot_be_rendered_says_why(source: str, problem: str) -> None:
    with pytest.raises(PermanentActionError, match=f"^text: .*({problem})"):
        await rendered(source)


async def test_declaration_in_a_text_is_no_error() -> None:
    assert await rendered("{{ 'a<![x]>b' | strip_html }}") == "ab"


async def test_value_that_mongodb_cannot_hold_is_an_error_of_the_step() -> None:
    with pytest.raises(PermanentActionError, match="expected values that MongoDB can hold"):
        await renderer.render({"text": ""}, {"entity": {"name": "\ud800"}})
