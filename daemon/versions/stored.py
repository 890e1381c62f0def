"""The stored form of a workflow's versions: the reader loads them, and executions point to them.

``{_id: {workflow_id, version}, workflow_id, version, latest?, definition, status, error?, seen, at_seq, stopped_seq,
transition?, is_deleted, since, changed_seq, at}``. ``latest`` is true on the newest version and absent on the others;
``transition`` holds its switch, until that has been applied to the waiting executions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo import InsertOne, UpdateOne

from config.error import WorkflowError
from daemon.versions.parsing import parsed_aside
from rules.identity import bson_bytes
from rules.version import Parse, Switch, Version
from rules.workflow import WorkflowStatus

LIVING: Final[Mapping[str, Any]] = {"latest": True, "is_deleted": {"$ne": True}}  # the newest of each living workflow


def version_writes(
    versions: Sequence[Version], changed_seq: int, now: datetime
) -> list[UpdateOne | InsertOne[dict[str, Any]]]:
    """Return the writes that store ``versions`` as part of commit ``changed_seq``; the last of a workflow is newest.

    All updates come first: writes of one kind travel together, and a thousand switches take two commands.
    """
    first: dict[bytes, Version] = {}
    newest: dict[bytes, Version] = {}
    for version in versions:
        key = bson_bytes(version.workflow_id)
        first.setdefault(key, version)
        newest[key] = version
    outdated = [{"workflow_id": version.workflow_id, "version": version.number - 1} for version in first.values()]
    latest = set(map(id, newest.values()))
    return [
        *(UpdateOne({"_id": key}, {"$unset": {"latest": ""}}) for key in outdated if key["version"] > 0),
        *(InsertOne(_document(version, changed_seq, now, is_latest=id(version) in latest)) for version in versions),
    ]


async def version_from(document: Mapping[str, Any], parse: Parse) -> Version:
    """Return the version that a stored version describes; a definition that no longer parses makes it invalid."""
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
    switch = document.get("transition")
    return Version(
        document["workflow_id"],
        document["version"],
        WorkflowStatus(document["status"]),
        workflow,
        definition,
        document["seen"],
        problem,
        document["at_seq"],
        document["stopped_seq"],
        Switch(switch) if switch else None,
        document["is_deleted"],
        document.get("since"),
    )


def _document(version: Version, changed_seq: int, now: datetime, *, is_latest: bool) -> dict[str, Any]:
    document = {
        "_id": {"workflow_id": version.workflow_id, "version": version.number},
        "workflow_id": version.workflow_id,
        "version": version.number,
        "definition": version.definition,
        "status": version.status,
        "error": {"path": version.error.path, "problem": version.error.problem} if version.error else None,
        "seen": version.seen,
        "at_seq": version.at_seq,
        "stopped_seq": version.stopped_seq,
        "is_deleted": version.is_deleted,
        "since": version.since,
        "changed_seq": changed_seq,
        "at": now,
    }
    if is_latest:
        document["latest"] = True
    if version.switch is not None:
        document["transition"] = version.switch
    return document
