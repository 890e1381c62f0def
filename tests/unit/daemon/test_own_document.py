"""Workflows and requests that somebody made megabytes large: read as far as they can be valid."""

from typing import Any, Final

import bson
from bson import Binary

from daemon.mongo.heavy import HeavyDocument
from daemon.stream.own_document import readable
from rules.limit import MOST_BYTES

LARGE: Final = "x" * 300_000
VALID: Final[dict[str, Any]] = {"_id": 1, "name": "w" * 1_000, "conditions": ["x" * 250_000], "status": "paused"}


def read(document: dict[str, Any]) -> dict[str, Any]:
    return dict(readable(HeavyDocument(bson.encode(document))))


def test_what_defines_a_workflow_is_read_whatever_lies_beside_it() -> None:
    beside = {f"other{number}": "x" * 5_000 for number in range(100)}
    found = read({**beside, "junk": [LARGE], **VALID})
    assert {name: found[name] for name in VALID} == VALID
    assert list(found) == ["_id", *beside, "junk", "name", "conditions", "status"]
    assert found["junk"] == Binary(b"")


def test_what_is_too_large_to_be_valid_keeps_its_size_and_the_status_is_read() -> None:
    actions = [{"type": "create_task"}] * 100_000
    found = read({"name": "w", "actions": actions, "status": "paused"})
    assert found["status"] == "paused"
    assert len(found["actions"]) == len(bson.encode({"": actions})) - 7
    assert len(found["actions"]) > MOST_BYTES


def test_a_status_behind_more_keys_than_are_looked_at_is_unknown_and_not_active() -> None:
    found = read({**{f"k{number}": number for number in range(40_000)}, "status": "paused"})
    assert found["status"].startswith("unknown")
