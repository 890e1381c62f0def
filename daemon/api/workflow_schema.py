"""The JSON schema of a workflow, for people and programs that read the OpenAPI description.

``rules.workflow`` decides which documents are workflows. The schema is stricter in places, so that every document that
fits it is accepted: groups of conditions may really be nested deeper, and a retry may have a maximum. A test generates
workflows from it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from actions.parameter import FIELD_SCHEMA
from actions.registry import ACTIONS
from config.duration import DURATION_SCHEMA, LONGEST
from rules.retry import MOST_ATTEMPTS
from rules.step import LONGEST_TIMEOUT, OnFailure
from rules.tree import BRANCH, DEEPEST, END, MOST_NODES, OTHERWISE
from rules.trigger import TriggerType
from rules.workflow import WorkflowStatus

Schema = dict[str, Any]


def _closed(properties: Schema, required: Sequence[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _one_of(words: Iterable[str]) -> Schema:
    return {"type": "string", "enum": [str(word) for word in words]}


_SHORT_TEXT: Final[Schema] = {"type": "string", "maxLength": 4_000}
_SCALARS: Final[Sequence[Schema]] = ({"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"})
_VALUE: Final[Schema] = {"$ref": "#/components/schemas/Value"}
_LIST: Final[Schema] = {"type": "array", "items": _VALUE}
_OBJECT: Final[Schema] = {
    "type": "object",
    "propertyNames": {"pattern": "^([^$\\u0000][^\\u0000]*)?$"},
    "additionalProperties": _VALUE,
}
VALUE: Final[Schema] = {
    "title": "Value",
    "description": 'Any value; {"$oid": …} and {"$date": …} are an ObjectId and a date.',
    "anyOf": [*_SCALARS, _LIST, _OBJECT],
}
_VALUES_OF_OPERATORS: Final[Sequence[tuple[tuple[str, ...], Schema]]] = (
    (("equals", "not_equals"), _VALUE),
    (("contains", "not_contains"), {"anyOf": [_SHORT_TEXT, *_SCALARS[1:], _LIST, _OBJECT]}),
    (("greater_than", "less_than", "greater_or_equal", "less_or_equal"), {"anyOf": [*_SCALARS[:2]]}),
    (("in", "not_in"), {"type": "array", "items": _VALUE}),
    (("starts_with", "ends_with"), _SHORT_TEXT),
)
_SHORTEST_S: Final = 0.000001
_COOLDOWN: Final[Schema] = {
    "anyOf": [
        {"type": "number", "minimum": _SHORTEST_S, "maximum": LONGEST.total_seconds()},
        {"type": "string", "pattern": "^[1-9][0-9]{0,2}[smhd]?$"},
    ]
}
_TIMEOUT: Final[Schema] = {
    "anyOf": [
        {"type": "number", "minimum": _SHORTEST_S, "maximum": LONGEST_TIMEOUT.total_seconds()},
        {"type": "string", "pattern": "^([1-9][0-9]?|[1-5][0-9][0-9]|600)s?$"},
    ]
}
_SCHEDULE: Final[Schema] = {
    "type": "string",
    "pattern": "^([0-9]|[1-5][0-9]|\\*) ([0-9]|1[0-9]|2[0-3]|\\*) \\* \\* ([0-6]|\\*)$",
    "description": "Five cron fields; more than the pattern shows.",
    "examples": ["0 9 * * *"],
}
_PLAIN_CONDITION: Final[Schema] = _closed(
    {"field": FIELD_SCHEMA, "operator": _one_of(("equals", "not_equals")), "value": _VALUE},
    ["field", "operator", "value"],
)
_REASON: Final[Schema] = {"type": "string", "pattern": "^\\S", "maxLength": 200}
_STEP: Final[Schema] = {
    "delay": DURATION_SCHEMA,
    "conditions": {"type": "array", "maxItems": 30, "items": _PLAIN_CONDITION},
    "on_failure": _one_of(OnFailure),
    "retry": {
        "anyOf": [
            {"const": False},
            _closed(
                {
                    "max_attempts": {"type": "integer", "minimum": 1, "maximum": MOST_ATTEMPTS},
                    "initial": DURATION_SCHEMA,
                    "multiplier": {"type": "number", "minimum": 1, "maximum": 100},
                    "jitter": DURATION_SCHEMA,
                },
                [],
            ),
        ]
    },
    "timeout": _TIMEOUT,
}
_HEAD: Final[Schema] = {
    "name": {"type": "string", "pattern": "\\S"},
    "description": {"type": "string"},
    "status": _one_of(WorkflowStatus),
    "enrollment": {
        "anyOf": [
            _one_of(("always", "once")),
            _closed({"cooldown": _COOLDOWN}, ["cooldown"]),
            _closed({"once_per": FIELD_SCHEMA}, ["once_per"]),
        ]
    },
}
_EXAMPLE: Final[Schema] = {
    "name": "Auto-qualify new leads",
    "trigger": {"type": "entity_created", "entity_type": "lead"},
    "conditions": [{"field": "source", "operator": "equals", "value": "website_form"}],
    "actions": [{"type": "qualify_lead", "delay": 0}],
}


def schemas(entity_types: Sequence[str]) -> Schema:
    """Return the schemas that the description refers to by name, for an installation with these entity types."""
    return {"Value": VALUE, "Workflow": _workflow_schema(entity_types), "WorkflowPatch": _patch_schema()}


def _workflow_schema(entity_types: Sequence[str]) -> Schema:
    """Return the schema of a workflow document in an installation with these entity types."""
    entity_type = {"type": "string", "enum": list(entity_types)}
    fields = {"type": "array", "items": FIELD_SCHEMA, "minItems": 1, "maxItems": 100}
    zone = {"type": "string", "enum": ["UTC", "Europe/Lisbon", "America/Sao_Paulo"], "description": "Any IANA name."}
    kinds = _one_of((TriggerType.ENTITY_CREATED, TriggerType.ENTITY_DELETED))
    updated = {"type": {"const": str(TriggerType.FIELD_UPDATED)}, "entity_type": entity_type}
    clock = {"type": {"const": str(TriggerType.SCHEDULED)}, "entity_type": entity_type, "schedule": _SCHEDULE}
    triggers = [
        _closed({"type": kinds, "entity_type": entity_type}, ["type", "entity_type"]),
        # ``from`` and ``to`` together have to differ, which a schema cannot express.
        _closed({**updated, "field": FIELD_SCHEMA, "from": _VALUE}, ["type", "entity_type", "field"]),
        _closed({**updated, "field": FIELD_SCHEMA, "to": _VALUE}, ["type", "entity_type", "field"]),
        _closed({**updated, "fields": fields}, ["type", "entity_type"]),
        _closed({**clock, "timezone": zone}, ["type", "entity_type", "schedule"]),
        _closed({"type": {"const": str(TriggerType.MANUAL)}, "entity_type": entity_type}, ["type"]),
    ]
    properties = {**_HEAD, "trigger": {"anyOf": triggers}, "conditions": _conditions(), "actions": _actions()}
    return {
        **_closed(properties, ["name", "trigger", "actions"]),
        # Other keys are stored and define nothing; no schema can express which are too near a known one.
        "propertyNames": _OBJECT["propertyNames"],
        "additionalProperties": _VALUE,
        "title": "Workflow",
        "description": "More operators: matches, with an RE2 pattern; changed, changed_from and changed_to, with "
        "triggers by a change. Groups of conditions may be nested. Other keys are ignored, as long as none is nearly "
        "one of these.",
        "examples": [_EXAMPLE],
    }


def _patch_schema() -> Schema:
    """Return the schema of a merge patch, without the parts that depend on the document."""
    described = {"anyOf": [_HEAD["description"], {"type": "null"}]}
    properties = {"name": _HEAD["name"], "description": described, "status": _HEAD["status"]}
    return {
        **_closed(properties, []),
        "title": "WorkflowPatch",
        "description": "Every other part may be patched too; whether a patch fits depends on the document.",
    }


def _conditions() -> Schema:
    """Return the schema of conditions; groups are shown with one kind of member."""
    conditions = [
        _closed({"field": FIELD_SCHEMA, "operator": _one_of(names), "value": value}, ["field", "operator", "value"])
        for names, value in _VALUES_OF_OPERATORS
    ]
    presence = {"field": FIELD_SCHEMA, "operator": _one_of(("exists", "not_exists")), "value": {"type": "boolean"}}
    conditions += [
        _closed({"field": FIELD_SCHEMA, "operator": _one_of(("is_empty", "is_not_empty"))}, ["field", "operator"]),
        _closed(presence, ["field", "operator"]),
    ]
    members = {"type": "array", "minItems": 1, "maxItems": 30, "items": _PLAIN_CONDITION}
    groups = [_closed({combination: members}, [combination]) for combination in ("all", "any", "none")]
    return {"type": "array", "maxItems": 30, "items": {"anyOf": [*conditions, *groups]}}


def _actions() -> Schema:
    """Return the schema of the steps; the arms of a branch are shown with plain steps."""
    plain = [_action(action.type, action.model_json_schema()) for action in ACTIONS]
    arm = {"type": "array", "items": {"anyOf": plain}}
    end = _closed({"type": {"const": END}, "reason": _REASON}, ["type", "reason"])
    case = _closed({"name": _REASON, "conditions": _STEP["conditions"], "actions": arm}, ["conditions", "actions"])
    own = {"type": {"const": BRANCH}, "cases": {"type": "array", "minItems": 1, "items": case}, OTHERWISE: arm}
    branch = {
        **_closed({**own, "delay": DURATION_SCHEMA, "on_failure": _one_of(OnFailure)}, ["type", "cases"]),
        "description": "Goes the first way whose conditions hold, then on behind it. Arms may hold every kind of step, "
        f"up to {DEEPEST} levels deep and {MOST_NODES} steps in all.",
    }
    return {"type": "array", "minItems": 1, "maxItems": MOST_NODES, "items": {"anyOf": [*plain, branch, end]}}


def _action(action_type: str, parameters: Schema) -> Schema:
    properties = {
        name: schema if {"type", "anyOf", "const", "enum"} & set(schema) else {**schema, **_VALUE}
        for name, schema in parameters["properties"].items()
    }
    own = {"type": {"const": action_type}, **_STEP}
    described = {"description": parameters["description"]} if "description" in parameters else {}
    return {**_closed({**own, **properties}, ["type", *parameters.get("required", ())]), **described}
