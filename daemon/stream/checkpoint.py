"""The stored position of the stream: one document, moved only by compare-and-set on its commit number.

``{_id: "checkpoint", kind, commit, seq, token, cluster_time, done, causes, transaction, due_floor, pipeline,
replica_set, replica_set_id, collection, replayed_until, saved_at}``. ``commit`` counts the transactions, ``seq`` the
executions made. ``done``: how many workflows of the change after ``token`` were handled already. ``replayed_until``:
after a reset into the past, the text of the position up to which the stream was read before; empty otherwise.
Correctness rests on the compare-and-set, not on the reader's lease (DESIGN section 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import NoneType
from typing import Any, Final

from bson.timestamp import Timestamp

from config.error import CheckpointCorrupt
from config.found import found
from daemon.stream.open_causes import OpenCauses
from daemon.stream.origin import Origin, origin_from

CHECKPOINT_ID: Final = "checkpoint"
_MOST: Final = 2**62  # a counted number leaves room for more
AHEAD_S: Final = 60  # a position ahead of the server by more than this cannot be one of its own


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position of the stream and everything that must move with it."""

    commit: int
    seq: int
    token: Mapping[str, Any] | None  # None until the first event after a first start
    cluster_time: Timestamp
    done: int
    causes: OpenCauses
    due_floor: datetime  # due_at of an immediate step never runs backwards
    pipeline: str
    origin: Origin
    replayed_until: str = ""

    @property
    def position(self) -> str:
        """The text of the position: the tokens of all events behind it sort after it."""
        return str(self.token["_data"]) if self.token is not None else position_of(self.cluster_time)

    def to_document(self, saved_at: datetime) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "_id": CHECKPOINT_ID,
            "kind": "checkpoint",
            "commit": self.commit,
            "seq": self.seq,
            "token": self.token,
            "cluster_time": self.cluster_time,
            "done": self.done,
            **self.causes.to_document(),
            "due_floor": self.due_floor,
            "pipeline": self.pipeline,
            **self.origin.to_document(),
            "replayed_until": self.replayed_until,
            "saved_at": saved_at,
        }


def position_of(cluster_time: Timestamp) -> str:
    """Return a text that sorts before the tokens of all events at or after a time, and after all others."""
    return f"82{cluster_time.time:08X}{cluster_time.inc:08X}"


def cluster_time_of(token: Mapping[str, Any]) -> Timestamp | None:
    """Return the cluster time at the beginning of a resume token, None where there is none.

    The text is a key string in hexadecimal: 82 announces a timestamp, whose seconds and increment follow.
    """
    data = str(token.get("_data"))
    try:
        return Timestamp(int(data[2:10], 16), int(data[10:18], 16)) if data.startswith("82") else None
    except ValueError:
        return None


_KINDS: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "commit": ("a whole number", int),
    "seq": ("a whole number", int),
    "token": ("a resume token or null", (dict, NoneType)),
    "cluster_time": ("a timestamp", Timestamp),
    "done": ("a whole number", int),
    "causes": ("a list", list),
    "transaction": ("a list or null", (list, NoneType)),
    "due_floor": ("a date", datetime),
    "pipeline": ("a text", str),
    "replica_set": ("a text", str),
}


def checkpoint_from(document: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint that a document holds; raise CheckpointCorrupt, naming the field, if it cannot be one."""
    for name, (expected, kind) in _KINDS.items():
        value = document.get(name)
        is_countable = not isinstance(value, int) or (0 <= value <= _MOST and not isinstance(value, bool))
        if not isinstance(value, kind) or not is_countable:
            raise CheckpointCorrupt(f"checkpoint: {name}: expected {expected}, found {found(value)}")
    token = document["token"]
    try:
        causes = OpenCauses.from_document(document)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointCorrupt("checkpoint: transaction and causes cannot be read") from error
    if token is not None and cluster_time_of(token) is None:
        raise CheckpointCorrupt(f"checkpoint: token: expected a resume token, found {found(token)}")
    replayed_until = document.get("replayed_until", "")
    return Checkpoint(
        document["commit"],
        document["seq"],
        token,
        document["cluster_time"],
        document["done"],
        causes,
        document["due_floor"],
        document["pipeline"],
        origin_from(document),
        replayed_until if isinstance(replayed_until, str) else "",
    )


def check_at_home(checkpoint: Checkpoint, here: Origin, now: Timestamp) -> None:
    """Raise CheckpointCorrupt if a checkpoint was written elsewhere, or is ahead of the operation time ``now``."""
    difference = checkpoint.origin.difference(here)
    if difference is not None:
        raise CheckpointCorrupt(f"checkpoint: written for {difference}")
    at = max(checkpoint.cluster_time, cluster_time_of(checkpoint.token or {}) or checkpoint.cluster_time)
    latest = now.as_datetime() + timedelta(seconds=AHEAD_S)
    for instant in (at.as_datetime(), checkpoint.due_floor):  # nothing would be due before the floor
        if instant > latest:
            raise CheckpointCorrupt(f"checkpoint: {instant:%Y-%m-%d %H:%M:%S} UTC is ahead of the server")
