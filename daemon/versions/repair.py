"""Repair the newest stored version of a workflow if somebody has edited it.

The daemon relies on workflow_versions, but anybody may write there, and a version that it cannot read would keep every
replica from starting. The repair takes the status from the workflow's document, so that no waiting execution is held or
released by mistake, and a missing definition too. The reader then reads the document and makes a new version of it.
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from config.error import WorkflowError
from daemon.event import Event
from daemon.telemetry import emit
from rules.limit import check_limits
from rules.version import Switch
from rules.workflow import WorkflowStatus, definition_of, status_of

_STATUSES: Final = [str(each) for each in WorkflowStatus]
_SWITCHES: Final = [str(each) for each in Switch]
_NUMBER: Final = {"bsonType": ["int", "long"]}
_PROBLEM_SHAPE: Final = {
    "bsonType": "object",
    "required": ["path", "problem"],
    "properties": {"path": {"bsonType": "string"}, "problem": {"bsonType": "string"}},
}
_SHAPE: Final = {
    "required": [
        *("workflow_id", "version", "definition", "status", "error"),
        *("seen", "at_seq", "stopped_seq", "is_deleted", "changed_seq"),
    ],
    "properties": {
        "version": _NUMBER,
        "definition": {"bsonType": ["object", "null"]},
        "status": {"enum": _STATUSES},
        "error": {"anyOf": [{"bsonType": "null"}, _PROBLEM_SHAPE]},
        "seen": {"bsonType": "string"},
        "at_seq": _NUMBER,
        "stopped_seq": _NUMBER,
        "is_deleted": {"bsonType": "bool"},
        "changed_seq": _NUMBER,
        "since": {"bsonType": ["date", "null"]},
        "transition": {"enum": _SWITCHES},
    },
}
_LATEST: Final = {"latest": True}
_IS_NO_VERSION: Final = {
    **_LATEST,
    "$or": [{"_id.workflow_id": {"$exists": False}}, {"_id.version": {"$not": {"$type": ["int", "long"]}}}],
}
_MISSHAPEN: Final = {**_LATEST, "$nor": [{"$jsonSchema": _SHAPE}]}


def _kept(field: str, types: list[str], otherwise: Any) -> dict[str, Any]:
    """Return the expression for a field that stays as it is if it has one of ``types``."""
    return {"$cond": [{"$in": [{"$type": f"${field}"}, types]}, f"${field}", otherwise]}


_DEFINITION_TYPES: Final = ["object", "null"]
_HAS_DEFINITION: Final = {"$in": [{"$type": "$definition"}, _DEFINITION_TYPES]}
_HAS_PROBLEM: Final = {
    "$and": [{"$eq": [{"$type": "$error.path"}, "string"]}, {"$eq": [{"$type": "$error.problem"}, "string"]}]
}
_MENDED: Final = {
    "workflow_id": "$_id.workflow_id",
    "version": "$_id.version",
    "definition": _kept("definition", ["object"], None),
    "error": {
        "$cond": [
            _HAS_DEFINITION,
            {"$cond": [_HAS_PROBLEM, "$error", None]},
            {"path": "", "problem": "the version stored in workflow_versions was edited: it is read anew"},
        ]
    },
    "seen": "",  # so the document counts as edited when it is next seen
    "at_seq": _kept("at_seq", ["int", "long"], 0),
    "stopped_seq": _kept("stopped_seq", ["int", "long"], -1),
    "is_deleted": _kept("is_deleted", ["bool"], False),
    "changed_seq": _kept("changed_seq", ["int", "long"], 0),
    "since": _kept("since", ["date"], None),
    "transition": {"$cond": [{"$in": ["$transition", _SWITCHES]}, "$transition", "$$REMOVE"]},
}


async def mend_versions(database: AsyncDatabase[dict[str, Any]], names: Collections) -> None:
    """Repair unreadable versions; raise the driver's error if the database does not answer."""
    versions = database[names.versions]
    await versions.update_many(_IS_NO_VERSION, {"$unset": {"latest": ""}})
    async for found in versions.find(_MISSHAPEN, {"status": 1, "definition_type": {"$type": "$definition"}}):
        workflow_id, version = found["_id"]["workflow_id"], found["_id"]["version"]
        document = await database[names.workflows].find_one({"_id": workflow_id})
        mended: dict[str, Any] = dict(_MENDED)
        if found["definition_type"] not in _DEFINITION_TYPES and document is not None and _is_within_limits(document):
            mended |= {"definition": {"$literal": definition_of(document)}, "error": None}
        mended["status"] = found["status"] if found.get("status") in _STATUSES else _status_of(document)
        await versions.update_one({"_id": found["_id"]}, [{"$set": mended}])
        emit(Event.VERSION_CORRUPT, workflow_id=workflow_id, version=version)


def _is_within_limits(document: Mapping[str, Any]) -> bool:
    try:
        check_limits(definition_of(document))
    except WorkflowError:
        return False
    return True


def _status_of(document: Mapping[str, Any] | None) -> WorkflowStatus:
    """Return the status that an admin wrote; where it is unknown, paused."""
    try:
        return status_of(document) if document is not None else WorkflowStatus.PAUSED
    except WorkflowError:
        return WorkflowStatus.PAUSED
