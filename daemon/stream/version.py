"""The stored form of a workflow's versions: the reader loads them, and executions point to them.

``{_id: {workflow_id, version}, workflow_id, version, latest?, definition, status, error?, seen, at_seq, stopped_seq,
transition?, is_deleted, since, changed_seq, at}``. ``latest`` is true on the newest version and absent on the others;
``transition`` is present until it has been applied to the waiting executions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import InsertOne, UpdateOne

from config.error import WorkflowError
from daemon.workflows.parsing import parsed_aside
from rules.head import Head, Parse, Transition
from rules.identity import bson_bytes
from rules.workflow import Status


def version_writes(
    heads: Sequence[Head], changed_seq: int, now: datetime
) -> list[UpdateOne | InsertOne[dict[str, Any]]]:
    """Return the writes, in order, that store ``heads`` as part of commit ``changed_seq``; the last of each is newest.

    All updates come first: writes of one kind travel together, and a thousand switches take two commands.
    """
    first: dict[bytes, Head] = {}
    newest: dict[bytes, Head] = {}
    for head in heads:
        key = bson_bytes(head.workflow_id)
        first.setdefault(key, head)
        newest[key] = head
    outdated = [{"workflow_id": head.workflow_id, "version": head.version - 1} for head in first.values()]
    latest = set(map(id, newest.values()))
    return [
        *(UpdateOne({"_id": key}, {"$unset": {"latest": ""}}) for key in outdated if key["version"] > 0),
        *(InsertOne(_document(head, changed_seq, now, is_latest=id(head) in latest)) for head in heads),
    ]


async def head_from(document: Mapping[str, Any], parse: Parse) -> Head:
    """Return the head that a stored version describes; a definition that no longer parses makes it invalid."""
    error = document.get("error")
    problem = WorkflowError(error["path"], error["problem"]) if error else None
    workflow = None
    definition = document.get("definition")  # of a deleted one it is not read
    if definition is not None:
        found = await parsed_aside(parse, document["workflow_id"], document["version"], definition)
        if isinstance(found, WorkflowError):
            problem = problem or found
        else:
            workflow = found
    transition = document.get("transition")
    return Head(
        document["workflow_id"],
        document["version"],
        Status(document["status"]),
        workflow,
        definition,
        document["seen"],
        problem,
        document["at_seq"],
        document["stopped_seq"],
        Transition(transition) if transition else None,
        document["is_deleted"],
        document.get("since"),
    )


def _document(head: Head, changed_seq: int, now: datetime, *, is_latest: bool) -> dict[str, Any]:
    document = {
        "_id": {"workflow_id": head.workflow_id, "version": head.version},
        "workflow_id": head.workflow_id,
        "version": head.version,
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
    if is_latest:
        document["latest"] = True
    if head.transition is not None:
        document["transition"] = head.transition
    return document
