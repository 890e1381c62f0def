"""A workflow as the daemon runs it, and how it is read from the document that an admin or the API wrote.

Nobody has checked such a document: whatever its shape, reading it ends in a Workflow or in a WorkflowError that
names the first thing that is wrong and counts the others.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from config.error import WorkflowError
from config.found import found
from rules.conditions import Conditions, parse_conditions
from rules.enrollment import Enrollment, parse_enrollment
from rules.limit import check_limits
from rules.other_key import DEFINING_KEYS, MOST_KEYS, OWN_KEYS, meant, other_keys
from rules.pattern import PatternBudget
from rules.program import Program, parse_program
from rules.step import OnFailure, ParseAction, Step
from rules.trigger import Trigger, TriggerType, parse_trigger
from rules.validation import OUTSIDE_DATA, Problems, joined, one_of, validated


class WorkflowStatus(StrEnum):
    """Whether a workflow runs: the switch that admins set."""

    ACTIVE = "active"  # changes start executions; the default
    PAUSED = "paused"  # no new executions, waiting steps are held
    DRAINING = "draining"  # no new executions, waiting steps finish
    STOPPED = "stopped"  # no new executions, what waits is cancelled


# What the daemon writes is nobody's definition, and no reason for a new version.
_NOT_DEFINING: Final = OWN_KEYS | {"_id", "status"}


@dataclass(frozen=True, slots=True)
class Workflow:
    """One accepted version of a workflow. ``conditions`` without members are met by every entity."""

    id: Any
    version: int
    name: str
    description: str
    trigger: Trigger
    conditions: Conditions
    enrollment: Enrollment
    program: Program


def definition_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what defines a workflow: not ``_id``, ``status``, what the daemon writes there, nor others' keys."""
    left_out = _NOT_DEFINING.union(other_keys(document))
    return {key: value for key, value in document.items() if key not in left_out}


def status_of(document: Mapping[str, Any]) -> WorkflowStatus:
    """Return the status; a missing one means active. Raise WorkflowError if it is none of the four."""
    return WorkflowStatus(one_of(document.get("status", WorkflowStatus.ACTIVE), list(WorkflowStatus), "status"))


class _Definition(BaseModel):
    model_config = OUTSIDE_DATA

    name: Annotated[str, Field(pattern=r"\S", description="a non-empty text")]
    description: Annotated[str, Field(description="a text")] = ""
    trigger: Any = None
    conditions: Any = ()
    enrollment: Any = None
    actions: Any = None


def parse_workflow(
    workflow_id: Any,
    version: int,
    document: object,
    *,
    entity_types: Collection[str],
    timezone: str,
    parse_action: ParseAction,
    unwatched: Mapping[str, str] = MappingProxyType({}),
) -> Workflow:
    """Return the workflow that ``document`` defines; raise WorkflowError, and nothing else, if it defines none.

    ``entity_types`` are the types this installation knows, ``timezone`` the one of schedules that name none,
    ``unwatched`` the types whose changes nobody can follow, with the kind of their collection. The
    document's status is not looked at: a valid one takes effect even where the rest is invalid.
    """
    raw = _within_limits(document)
    problems = Problems()
    _check_keys(raw, problems)
    defining = {key: value for key, value in raw.items() if key in DEFINING_KEYS}
    definition = problems.attempt(validated, _Definition, defining, "")
    trigger = problems.attempt(
        parse_trigger, raw.get("trigger"), "trigger", entity_types=entity_types, timezone=timezone
    )
    if trigger is not None:
        problems.attempt(_check_watched, trigger, unwatched)
    patterns = PatternBudget()
    conditions = _parse_conditions(raw, trigger, patterns, problems)
    enrollment = problems.attempt(parse_enrollment, raw.get("enrollment", "always"))
    program = problems.attempt(parse_program, raw.get("actions"), parse_action, patterns)
    problems.raise_first()
    assert definition is not None
    assert trigger is not None
    assert conditions is not None
    assert enrollment is not None
    assert program is not None
    name, description = definition.name, definition.description
    return Workflow(workflow_id, version, name, description, trigger, conditions, enrollment, program)


def _within_limits(document: object) -> dict[str, Any]:
    """Return the definition in a document; raise WorkflowError if it passes a limit."""
    if not isinstance(document, Mapping):
        raise WorkflowError("", f"expected an object, found {found(document)}")
    if len(document) > MOST_KEYS:
        raise WorkflowError("", f"expected at most {MOST_KEYS} keys, found {len(document)}")
    raw = definition_of(document)
    check_limits(raw)
    return raw


def _parse_conditions(
    raw: Mapping[str, Any], trigger: Trigger | None, patterns: PatternBudget, problems: Problems
) -> Conditions | None:
    # While the trigger is not known, operators such as changed_to are accepted.
    with_changes = trigger is None or trigger.type.follows_change
    given = raw.get("conditions", [])
    conditions = problems.attempt(parse_conditions, given, with_changes=with_changes, patterns=patterns)
    if trigger is not None and conditions is not None:
        problems.attempt(_check_change, trigger, conditions)
    return conditions


def _check_keys(raw: Mapping[Any, Any], problems: Problems) -> None:
    """Add a problem for each key that is near a known one, or that no document of Mongo's can have."""
    for key in raw:
        if key not in DEFINING_KEYS:
            near = meant(key) if isinstance(key, str) else None
            hint = f" (did you mean '{near}'?)" if near else ""
            known = ", ".join((*DEFINING_KEYS, "status"))
            problems.add(WorkflowError(joined("", str(key)), f"unknown key{hint}; known here: {known}"))


def _check_watched(trigger: Trigger, unwatched: Mapping[str, str]) -> None:
    """Refuse a trigger that waits for what MongoDB never tells."""
    kind = unwatched.get(trigger.entity_type or "")
    if kind is not None and trigger.type.follows_change:
        problem = (
            f"expected a type whose changes MongoDB tells, found {found(trigger.entity_type)}, which lies in {kind}"
        )
        raise WorkflowError("trigger.entity_type", f"{problem}: a schedule or a request can start a workflow for it")


def _check_change(trigger: Trigger, conditions: Conditions) -> None:
    """Refuse conditions that are never met, because they ask of a creation or deletion what has changed."""
    asked = conditions.needing_change()
    if asked is not None and trigger.type is not TriggerType.FIELD_UPDATED:
        problem = f"{asked.operator} is met by an update only: no {trigger.type} ever meets it"
        raise WorkflowError(joined(asked.path, "operator"), problem)


__all__ = [
    "OWN_KEYS",
    "OnFailure",
    "ParseAction",
    "Step",
    "Workflow",
    "WorkflowStatus",
    "definition_of",
    "parse_workflow",
    "status_of",
]
