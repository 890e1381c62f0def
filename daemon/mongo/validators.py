"""The ``$jsonSchema`` of workflows and executions: hints for people who edit by hand.

They only warn, in the server's log: they never refuse an admin's or the daemon's write. ``rules.workflow`` decides
which documents are workflows; the schema describes only their outline.
"""

from collections.abc import Mapping
from typing import Any, Final

from config.collection_names import Collections

TITLE: Final = "reflexd: "  # marks our validators: others are left alone
_WHOLE_NUMBER: Final = {"bsonType": ["int", "long"]}

_WORKFLOW: Final[Mapping[str, Any]] = {
    "title": f"{TITLE}workflow",
    "required": ["name", "trigger", "actions"],
    "properties": {
        "name": {"bsonType": "string"},
        "description": {"bsonType": "string"},
        "status": {"enum": ["active", "paused", "draining", "stopped"]},
        "trigger": {
            "bsonType": "object",
            "required": ["type"],
            "properties": {
                "type": {"enum": ["entity_created", "field_updated", "entity_deleted", "scheduled", "manual"]},
            },
        },
        "conditions": {"bsonType": "array", "items": {"bsonType": "object"}},
        "enrollment": {"bsonType": ["string", "object"]},
        "actions": {"bsonType": "array", "minItems": 1, "items": {"bsonType": "object", "required": ["type"]}},
    },
}
_EXECUTION: Final[Mapping[str, Any]] = {
    "title": f"{TITLE}execution",
    "required": ["workflow_id", "status", "step", "attempt", "lane", "triggered_at"],
    "properties": {
        "status": {"enum": ["pending", "running", "waiting", "held", "completed", "failed", "cancelled"]},
        "actions_executed": {"bsonType": "array", "items": {"bsonType": "object"}},
        "at": {"bsonType": "string"},
        "step": _WHOLE_NUMBER,
        "attempt": _WHOLE_NUMBER,
        "lane": _WHOLE_NUMBER,
        "due_at": {"bsonType": "date"},
        "triggered_at": {"bsonType": "date"},
        "started_at": {"bsonType": ["date", "null"]},
        "completed_at": {"bsonType": ["date", "null"]},
    },
}


def wanted_validators(names: Collections) -> dict[str, Mapping[str, Any]]:
    """Return collection name → schema."""
    return {names.workflows: _WORKFLOW, names.executions: _EXECUTION}


def is_replaceable(options: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether the validator in a collection's ``options`` is absent, or an older one of ours."""
    schema = options.get("validator", {}).get("$jsonSchema", {})
    if not options.get("validator"):
        return True
    return str(schema.get("title", "")).startswith(TITLE) and schema != wanted
