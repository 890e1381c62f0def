"""From a raw event to a change."""

from datetime import UTC, datetime
from typing import Any

import bson
from bson import Binary
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from daemon.stream.decode import Decoder, EventSubject, StreamEvent
from rules.change import Kind

DECODER = Decoder({"leads": "lead"}, "workflows", "workflow_requests", "workflow_effects")


def decoded(operation: str, collection: str = "leads", **more: Any) -> StreamEvent:
    body = {
        "_id": {"_data": "82aa"},
        "operationType": operation,
        "clusterTime": Timestamp(100, 2),
        "ns": {"db": "crm", "coll": collection},
        "documentKey": {"_id": 1},
        **more,
    }
    return DECODER.decode(RawBSONDocument(bson.encode(body)))


def test_an_insert_is_a_creation_with_its_document() -> None:
    change = decoded("insert", fullDocument={"_id": 1, "a": 2}).change
    assert change is not None
    assert (change.kind, change.after, change.before, change.entity_id) == (Kind.CREATED, {"_id": 1, "a": 2}, None, 1)


def test_an_update_names_the_paths_it_set_removed_and_cut() -> None:
    description = {
        "updatedFields": {"a.b": 1},
        "removedFields": ["c"],
        "truncatedArrays": [{"field": "d", "newSize": 1}],
    }
    change = decoded("update", updateDescription=description).change
    assert change is not None
    assert change.touched == frozenset({"a.b", "c", "d"})
    assert (change.before, change.after) == (None, None)


def test_a_replace_names_no_paths() -> None:
    change = decoded("replace", fullDocument={"_id": 1}).change
    assert change is not None
    assert (change.kind, change.touched) == (Kind.UPDATED, None)


def test_images_that_the_server_does_not_have_are_unknown() -> None:
    event = decoded("delete", fullDocumentBeforeChange=None)
    assert event.change is not None
    assert event.change.before is None
    assert event.document is None


def test_events_of_a_transaction_carry_its_key_and_plain_ones_none() -> None:
    session: dict[str, Any] = {"lsid": {"id": bson.Binary(b"s" * 16, 4), "uid": b"u"}, "txnNumber": 7}
    assert decoded("insert", fullDocument={}, **session).transaction == (b"s" * 16, 7)
    assert decoded("insert", fullDocument={}).transaction is None


def test_the_time_is_the_servers_wall_clock_or_else_the_cluster_time() -> None:
    wall = datetime(2026, 1, 1, tzinfo=UTC)
    assert decoded("insert", fullDocument={}, wallTime=wall).at == wall
    assert decoded("insert", fullDocument={}).at == datetime.fromtimestamp(100, UTC)


def test_every_collection_has_its_subject() -> None:
    assert decoded("insert", "workflows", fullDocument={}).subject is EventSubject.WORKFLOW
    assert decoded("insert", "workflow_requests", fullDocument={}).subject is EventSubject.REQUEST
    assert decoded("insert", "workflow_effects", fullDocument={}).subject is EventSubject.CAUSES
    assert decoded("drop", "leads").subject is EventSubject.STRUCTURE
    assert decoded("insert", "others", fullDocument={}).subject is EventSubject.STRUCTURE


def test_text_that_is_no_utf_8_breaks_nothing() -> None:
    raw = bson.encode(
        {
            "_id": {"_data": "82aa"},
            "operationType": "insert",
            "clusterTime": Timestamp(1, 1),
            "ns": {"coll": "leads"},
            "documentKey": {"_id": 1},
            "fullDocument": {"_id": 1, "a": "zz"},
        }
    )
    event = DECODER.decode(RawBSONDocument(raw.replace(b"zz\x00", b"\xff\xfe\x00")))
    assert event.document == {"_id": 1, "a": "\ufffd\ufffd"}


def test_of_a_heavy_workflow_or_request_nothing_is_decoded_that_nobody_asks_for() -> None:
    junk = [{"a": number} for number in range(50_000)]
    for collection in ("workflows", "workflow_requests"):
        document = {"_id": 1, "name": "w", "junk": junk}
        images = {"fullDocument": document, "fullDocumentBeforeChange": document}
        body = decoded("update", collection, updateDescription={"updatedFields": {"junk": junk}}, **images).body
        assert body["fullDocument"] == {"_id": 1, "name": "w", "junk": Binary(b"")}
        assert "fullDocumentBeforeChange" not in body
        small = decoded(
            "update", collection, fullDocument={"_id": 1, "status": "paused"}, fullDocumentBeforeChange=document
        )
        assert small.document == {"_id": 1, "status": "paused"}
