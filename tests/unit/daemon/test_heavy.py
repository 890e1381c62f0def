"""Large documents whose values are decoded one by one: the same values, within a limit."""

from datetime import UTC, datetime
from typing import Any, Final

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from daemon.mongo.codec import CODEC, decoded
from daemon.mongo.heavy import HEAVY, MOST_NAMES, MOST_STEPS, HeavyDocument, TooHeavy, opened

EVERY_KIND: Final[dict[str, Any]] = {
    "_id": ObjectId(),
    "double": 1.5,
    "text": "é\0x",
    "document": {"a": {"b": [1, "x", {"c": None}]}},
    "array": [1, 2.5, None, True, Int64(3), "x", {"y": 1}],
    "binary": Binary(b"12", 5),
    "true": True,
    "date": datetime(2026, 1, 1, tzinfo=UTC),
    "null": None,
    "regex": Regex("a.b", "i"),
    "reference": DBRef("leads", 1),
    "code": Code("x"),
    "scoped": Code("x", {"a": 1}),
    "int": 7,
    "timestamp": Timestamp(1, 2),
    "long": Int64(2**40),
    "decimal": Decimal128("1.5"),
    "least": MinKey(),
    "most": MaxKey(),
    "": "no name",
    "a.b": "a dot",
    "pad": "x" * HEAVY,
}


def heavy(document: dict[str, Any]) -> HeavyDocument:
    found = opened(bson.encode(document))
    assert isinstance(found, HeavyDocument)
    return found


def test_every_kind_of_value_is_what_decoding_the_whole_gives() -> None:
    raw = bson.encode(EVERY_KIND)
    found, whole = HeavyDocument(raw), decoded(raw)
    assert found["most"] == whole["most"]  # the last one first
    assert list(found) == list(whole)
    assert {name: found[name] for name in found} == whole
    assert found.get("missing") is None
    assert "missing" not in found


def test_it_is_encoded_as_it_is() -> None:
    raw = bson.encode(EVERY_KIND)
    assert bson.decode(bson.encode({"entity": HeavyDocument(raw)}), CODEC)["entity"] == decoded(raw)


def test_a_heavy_document_within_is_decoded_as_lazily() -> None:
    inner = heavy({"inner": {"pad": "x" * HEAVY, "numbers": list(range(900_000)), "a": 1}})["inner"]
    assert isinstance(inner, HeavyDocument)
    assert inner["a"] == 1


@pytest.mark.parametrize("value", [["x"] * 100_000, [{}] * 100_000, list(range(900_000)), [[{"a": ["x"] * 50_000}]]])
def test_a_value_with_too_much_in_it_is_refused_and_the_others_are_not(value: Any) -> None:
    document = heavy({"_id": 1, "value": value, "pad": "x" * HEAVY, "a": 1})
    with pytest.raises(TooHeavy, match="of decoding"):
        document["value"]
    document.renew(MOST_STEPS)
    assert (document["_id"], document["a"]) == (1, 1)


def test_names_beyond_the_first_ones_are_refused() -> None:
    document = heavy({"a": 1} | {f"name_{number}": number for number in range(2 * MOST_NAMES)})
    assert document["a"] == 1
    with pytest.raises(TooHeavy):
        document["missing"]
    with pytest.raises(TooHeavy):
        len(document)
    assert document


def test_what_is_kept_of_it_can_be_chosen() -> None:
    document = heavy(EVERY_KIND)
    assert document.sizes()["pad"] == HEAVY + 5
    assert dict(document.only({"_id", "scoped"})) == {"_id": EVERY_KIND["_id"], "scoped": EVERY_KIND["scoped"]}
