"""The stored position: what is read back is what was stored, and nothing else is taken for one."""

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.timestamp import Timestamp

from config.error import CheckpointCorrupt
from daemon.mongo.codec import CODEC
from daemon.stream.checkpoint import Checkpoint, checkpoint_from, cluster_time_of
from daemon.stream.open_causes import NO_CAUSES

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TOKEN = {"_data": "8269A54D90000000032B0229296E04"}
STORED = Checkpoint(7, 40, TOKEN, Timestamp(5, 6), 2, NO_CAUSES, NOW, "hash", "rs0")


def test_a_checkpoint_survives_being_stored() -> None:
    document = bson.decode(bson.encode(STORED.to_document(NOW)), CODEC)
    assert checkpoint_from(document, "rs0") == STORED


def test_a_checkpoint_of_another_replica_set_is_refused() -> None:
    with pytest.raises(CheckpointCorrupt, match="'rs0', found 'rs1'"):
        checkpoint_from(STORED.to_document(NOW), "rs1")


@pytest.mark.parametrize(
    "change",
    [
        {"commit": None},
        {"seq": "1"},
        {"token": "82"},
        {"token": {}},
        {"token": {"_data": ""}},
        {"token": {"_data": 82}},
        {"cluster_time": NOW},
        {"done": None},
        {"due_floor": 5},
        {"pipeline": None},
        {"replica_set": None},
        {"causes": None},
        {"transaction": 5},
    ],
    ids=repr,
)
def test_what_cannot_be_a_checkpoint_is_named(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(CheckpointCorrupt, match=name):
        checkpoint_from({**STORED.to_document(NOW), **change}, "rs0")


def test_a_token_tells_its_cluster_time() -> None:
    assert cluster_time_of(TOKEN) == Timestamp(0x69A54D90, 3)


@pytest.mark.parametrize("data", ["", "82", "82zz", "9269A54D9000000003", None])
def test_what_is_no_token_tells_none(data: Any) -> None:
    assert cluster_time_of({"_data": data}) is None
