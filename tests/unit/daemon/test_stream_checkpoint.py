"""The stored position: what is read back is what was stored, and nothing else is taken for one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.timestamp import Timestamp

from config.error import CheckpointCorrupt
from daemon.mongo.codec import CODEC
from daemon.stream.checkpoint import Checkpoint, check_at_home, checkpoint_from, cluster_time_of
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.origin import Origin

NOW = datetime(2026, 3, 2, 8, 40, tzinfo=UTC)
TOKEN = {"_data": "8269A54D90000000032B0229296E04"}
SERVER_TIME = Timestamp(0x69A54D90, 9)
HOME = Origin("rs0", "abc", "01")
STORED = Checkpoint(7, 40, TOKEN, Timestamp(5, 6), 2, NO_CAUSES, NOW, "hash", HOME)


def test_a_checkpoint_survives_being_stored() -> None:
    document = bson.decode(bson.encode(STORED.to_document(NOW)), CODEC)
    assert checkpoint_from(document) == STORED


@pytest.mark.parametrize("here", [Origin("rs1", "abc", "01"), Origin("rs0", "abd", "01"), Origin("rs0", None, "02")])
def test_a_checkpoint_of_another_cluster_or_collection_is_refused(here: Origin) -> None:
    with pytest.raises(CheckpointCorrupt, match=r"written for .*found"):
        check_at_home(STORED, here, SERVER_TIME)


@pytest.mark.parametrize("here", [HOME, Origin("rs0"), Origin("rs0", None, "01")])
def test_what_nobody_could_tell_is_not_compared(here: Origin) -> None:
    check_at_home(STORED, here, SERVER_TIME)


def test_a_position_ahead_of_the_server_is_refused() -> None:
    with pytest.raises(CheckpointCorrupt, match="ahead of the server"):
        check_at_home(STORED, HOME, Timestamp(5, 6))


def test_a_floor_before_which_nothing_would_be_due_for_long_is_refused() -> None:
    floor = SERVER_TIME.as_datetime() + timedelta(hours=1)
    with pytest.raises(CheckpointCorrupt, match="ahead of the server"):
        check_at_home(replace(STORED, due_floor=floor), HOME, SERVER_TIME)


def test_a_checkpoint_of_an_older_daemon_knows_its_replica_set_only() -> None:
    document = STORED.to_document(NOW)
    del document["replica_set_id"], document["collection"]
    assert checkpoint_from(document).origin == Origin("rs0")


@pytest.mark.parametrize(
    "change",
    [
        {"commit": None},
        {"commit": -1},
        {"commit": 2**63 - 1},
        {"seq": 2**63 - 1},
        {"transaction": ["text", "text"]},
        {"transaction": [{}, None]},
        {"done": True},
        {"seq": "1"},
        {"seq": -1},
        {"token": "82"},
        {"token": 5},
        {"token": {}},
        {"token": {"_data": ""}},
        {"token": {"_data": 82}},
        {"cluster_time": NOW},
        {"done": None},
        {"due_floor": 5},
        {"due_floor": "today"},
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
        checkpoint_from({**STORED.to_document(NOW), **change})


def test_a_token_tells_its_cluster_time() -> None:
    assert cluster_time_of(TOKEN) == Timestamp(0x69A54D90, 3)


@pytest.mark.parametrize("data", ["", "82", "82zz", "9269A54D9000000003", None])
def test_what_is_no_token_tells_none(data: Any) -> None:
    assert cluster_time_of({"_data": data}) is None
