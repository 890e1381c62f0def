"""Compute ids and lanes from the things they stand for: the same change always makes the same ones.

Deterministic ids absorb repeats of the stream (MONGODB.md, "Stream position"), and a stable lane keeps all
executions of one entity with one owner.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import bson
from bson import ObjectId, Regex

from rules.change import Change

_OBJECT_ID_HEAD: Final = b"\x13\0\0\0\x07\0"  # a document of 19 bytes whose only field, "", is an ObjectId


def bson_bytes(value: Any) -> bytes:
    """Return the BSON form of a value: equal for equal values of equal type, whatever the type."""
    if type(value) is ObjectId:  # most ids are: five times faster than the codec
        return _OBJECT_ID_HEAD + value.binary + b"\0"
    return bson.encode({"": value})


def change_id(change_seconds: int, token: str, *parts: Any) -> ObjectId:
    """Return the id that belongs to an event (its cluster time in seconds and its token) and ``parts``."""
    return id_from_bytes(change_seconds, token, b"".join(map(bson_bytes, parts)))


def id_from_bytes(change_seconds: int, token: str, parts: bytes) -> ObjectId:
    """Return the same id as ``change_id``, for parts that are BSON already."""
    digest = blake2b(token.encode(), digest_size=8)
    digest.update(parts)
    return ObjectId((change_seconds & 0xFFFFFFFF).to_bytes(4, "big") + digest.digest())


def execution_id(change: Change, workflow_id: Any) -> ObjectId:
    """Return the id of the execution that ``change`` makes for a workflow (DESIGN section 3)."""
    return change_id(change.cluster_time[0], change.token, workflow_id)


class ScheduledRun:
    """Makes the ids of the executions of one scheduled run: one for each entity."""

    def __init__(self, fire_at: datetime, workflow_id: Any, entity_type: str) -> None:
        self._seconds = int(fire_at.timestamp())
        self._parts = b"".join(map(bson_bytes, (workflow_id, fire_at, entity_type)))

    def execution_id(self, entity_id: Any) -> ObjectId:
        """Return the id of the execution of one entity."""
        return id_from_bytes(self._seconds, "schedule", self._parts + bson_bytes(entity_id))


def entity_key(entity_type: str, entity_id: Any) -> tuple[str, Any]:
    """Return a hashable key for an entity; ids may have any BSON type."""
    if type(entity_id) in (ObjectId, str):  # not bson.Code: a str without a hash
        return entity_type, entity_id
    return entity_type, bson_bytes(entity_id)


def can_be_id(value: Any) -> bool:
    """Return whether MongoDB would store ``value`` as an ``_id``. Other values must not reach a query.

    A regular expression in a query matches others, and a document with ``$`` keys is an operator or an error.
    """
    if isinstance(value, (list, Regex, re.Pattern)):
        return False
    return not (isinstance(value, Mapping) and any(str(name).startswith("$") for name in value))


def lane_of(entity_type: str, entity_id: Any, lanes: int) -> int:
    """Return the lane of an entity, 0 to ``lanes`` - 1."""
    digest = blake2b(bson_bytes(entity_id), digest_size=4, key=entity_type.encode()[:64])
    return int.from_bytes(digest.digest(), "big") % lanes


def readings(given: Any) -> list[Any]:
    """Return the ids that an id in a request may mean: itself, and the ObjectId that a text spells."""
    if isinstance(given, str) and ObjectId.is_valid(given):
        return [given, ObjectId(given)]
    return [given]
