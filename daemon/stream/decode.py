"""Decode raw change events. Pure: no I/O, no clock.

Updates and replaces alike are changes; an edit by hand in Compass arrives as a replace. Images that the server does not
have stay unknown here; ``daemon.stream.current`` reads the documents in their place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from daemon.mongo.codec import decoded
from daemon.mongo.heavy import HeavyDocument, opened
from daemon.stream.own_document import readable_event
from rules.budget import TooCostly
from rules.change import Change, Kind

CHANGE_KINDS: Final = {"insert": Kind.CREATED, "update": Kind.UPDATED, "replace": Kind.UPDATED, "delete": Kind.DELETED}


class EventSubject(StrEnum):
    """The subject of an event."""

    ENTITY = "entity"
    WORKFLOW = "workflow"
    REQUEST = "request"
    CAUSES = "causes"
    STRUCTURE = "structure"  # a collection or the database was dropped or renamed


@dataclass(slots=True)
class StreamEvent:
    """One event of the stream.

    ``transaction`` is (session id, number) of the transaction it belongs to, None for a plain write. ``body`` is
    the decoded event; for a large entity, a document that decodes its values one by one. ``change`` is set for
    entities only.
    """

    subject: EventSubject
    token: str
    cluster_time: Timestamp
    transaction: tuple[bytes, int] | None
    at: datetime
    operation: str
    collection: str
    document_id: Any
    body: Mapping[str, Any]
    change: Change | None = None
    size: int = 0  # bytes

    @property
    def document(self) -> Mapping[str, Any] | None:
        """The document after the event, None where it was deleted or is not known."""
        found: Mapping[str, Any] | None = self.body.get("fullDocument")
        return found


class Decoder:
    """Decodes events of known collections."""

    def __init__(self, entity_types: Mapping[str, str], workflows: str, requests: str, effects: str) -> None:
        """``entity_types`` maps collection to entity type; the others are names of collections."""
        self._entity_types = entity_types
        self._subjects = {
            workflows: EventSubject.WORKFLOW,
            requests: EventSubject.REQUEST,
            effects: EventSubject.CAUSES,
            **dict.fromkeys(entity_types, EventSubject.ENTITY),
        }

    def decode(self, raw: RawBSONDocument) -> StreamEvent:
        """Return the event that ``raw`` holds."""
        try:
            return self._event(opened(raw.raw), raw)
        except TooCostly:  # the id itself is heavy: every event needs it, at any cost
            return self._event(decoded(raw.raw), raw)

    def _event(self, body: Mapping[str, Any], raw: RawBSONDocument) -> StreamEvent:
        operation = body["operationType"]
        collection = body.get("ns", {}).get("coll", "")
        subject = self._subjects.get(collection) if operation in CHANGE_KINDS else None
        if subject is not EventSubject.ENTITY and isinstance(body, HeavyDocument):
            body = readable_event(body)
        token = body["_id"]["_data"]
        cluster_time = body["clusterTime"]
        at = body.get("wallTime") or datetime.fromtimestamp(cluster_time.time, UTC)
        document_id = body.get("documentKey", {}).get("_id")
        return StreamEvent(
            subject or EventSubject.STRUCTURE,
            token,
            cluster_time,
            _transaction_of(body),
            at,
            operation,
            collection,
            document_id,
            body,
            self._change(body, collection, document_id, token, cluster_time, at)
            if subject is EventSubject.ENTITY
            else None,
            len(raw.raw),
        )

    def _change(
        self, body: Mapping[str, Any], collection: str, entity_id: Any, token: str, at_time: Timestamp, at: datetime
    ) -> Change:
        return Change(
            self._entity_types[collection],
            entity_id,
            CHANGE_KINDS[body["operationType"]],
            _touched_paths(body),
            body.get("fullDocumentBeforeChange"),
            body.get("fullDocument"),
            at,
            token,
            (at_time.time, at_time.inc),
        )


def touched_paths(body: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the dotted paths that an event names, None for a replace: any may have changed."""
    if body["operationType"] == "replace":
        return None
    description = body.get("updateDescription")
    if description is None:
        return frozenset()
    truncated = (item["field"] for item in description.get("truncatedArrays") or ())
    return frozenset((*description["updatedFields"], *description["removedFields"], *truncated))


def _touched_paths(body: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the same, but None where there are too many: then the images are compared."""
    try:
        return touched_paths(body)
    except TooCostly:
        return None


def _transaction_of(body: Mapping[str, Any]) -> tuple[bytes, int] | None:
    """Return (session id, number), which all events of a transaction share; plain writes have none."""
    if "lsid" not in body or "txnNumber" not in body:
        return None
    return bytes(body["lsid"]["id"]), int(body["txnNumber"])
