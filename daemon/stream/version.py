"""The stored form of a workflow's versions: the reader's truth, and the pinned copy that executions point to.

``{_id: {workflow_id, version}, workflow_id, version, latest?, definition, status, error?, seen, at_seq, stopped_seq,
transition?, is_deleted, since, changed_seq, at}``. ``latest`` is true on the newest version and absent on the others;
``transition`` is there until it has been applied to the executions that waited.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import InsertOne, UpdateOne

from config.error import WorkflowError
from rules.head import Head, Parse, Transition
from rules.workflow import Status


def version_writes(head: Head, changed_seq: int, now: datetime) -> list[UpdateOne | InsertOne[dict[str, Any]]]:
    """Return the writes, in order, that make ``head`` the newest version as part of commit ``changed_seq``."""
    return [
        UpdateOne({"workflow_id": head.workflow_id, "latest": True}, {"$unset": {"latest": ""}}),
        InsertOne(_document(head, changed_seq, now)),
    ]


def head_from(document: Mapping[str, Any], parse: Parse) -> Head:
    """Return the head that a stored version describes; a definition that no longer parses makes it invalid."""
    error = document.get("error")
    problem = WorkflowError(error["path"], error["problem"]) if error else None
    workflow = None
    if document["definition"] is not None:
        try:
            workflow = parse(document["workflow_id"], document["version"], document["definition"])
        except WorkflowError as wrong:
            problem = problem or wrong
    transition = document.get("transition")
    return Head(
        document["workflow_id"],
        document["version"],
        Status(document["status"]),
        workflow,
        document["definition"],
        document["seen"],
        problem,
        document["at_seq"],
        document["stopped_seq"],
        Transition(transition) if transition else None,
        document["is_deleted"],
        document.get("since"),
    )


def _document(head: Head, changed_seq: int, now: datetime) -> dict[str, Any]:
    document = {
        "_id": {"workflow_id": head.workflow_id, "version": head.version},
        "workflow_id": head.workflow_id,
        "version": head.version,
        "latest": True,
        "definition": head.definition,
        "status": head.status,
        "error": {"path": head.error.path, "problem": head.error.problem} if head.error else None,
        "seen": head.seen,
        "at_seq": head.at_seq,
        "stopped_seq": head.stopped_seq,
        "is_deleted": head.is_deleted,
        "since": head.since,
        "changed_seq": changed_seq,
        "at": now,
    }
    if head.transition is not None:
        document["transition"] = head.transition
    return document
