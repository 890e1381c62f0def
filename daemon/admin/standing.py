"""Describe to an admin how a workflow stands for an entity: checks, conditions and their sentences."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from config.plain import timestamp
from rules.budget import TooCostly
from rules.condition import Condition, Subject
from rules.conditions import Group
from rules.explain import abridged, missed
from rules.path import MISSING
from rules.trigger import Trigger, TriggerType
from rules.workflow import Workflow, WorkflowStatus

NOT_RUNNING: Final = {
    WorkflowStatus.PAUSED: "paused: nothing new starts, and waiting steps are held",
    WorkflowStatus.DRAINING: "draining: nothing new starts",
    WorkflowStatus.STOPPED: "stopped: nothing starts",
}

Document = dict[str, Any]


def check(name: str, passed: bool | None, says: str) -> Document:
    """Return one check; ``passed`` is None where unknown."""
    return {"check": name, "passed": passed, "says": says}


def clock(at: object) -> str:
    """Return a stored time for people; any other value is "an unknown time"."""
    return timestamp(at) if isinstance(at, datetime) else "an unknown time"


def stands(workflow: Workflow, subject: Subject) -> list[Document]:
    """Return how each condition stands: ``met`` is None where it is not known; no ``actual`` means missing."""
    return [_stand(leaf, subject) for leaf in _leaves(workflow.conditions.root)]


def _leaves(group: Group) -> Iterator[Condition]:
    for member in group.members:
        if isinstance(member, Group):
            yield from _leaves(member)
        else:
            yield member


def _stand(leaf: Condition, subject: Subject) -> Document:
    """Return how one condition stands; all share the budget of one judgement, and are unknown once it is used up."""
    try:
        actual, met = leaf.actual(subject), leaf.judge(subject)
    except TooCostly:
        actual, met = "too costly to be judged", None
    stand = {
        "path": leaf.path,
        "field": leaf.field,
        "operator": leaf.operator,
        "expected": abridged(leaf.expected),
        "met": met,
    }
    return stand if actual is MISSING else {**stand, "actual": abridged(actual)}


def is_for(trigger: Trigger, kind: str) -> bool:
    """Return whether a trigger is for entities of this type."""
    return trigger.entity_type in (None, kind)


def trigger_words(trigger: Trigger, kind: str) -> str:
    """Return when a trigger starts a workflow for an entity of this type."""
    if not is_for(trigger, kind):
        return f"it is for entities of type {trigger.entity_type}, not {kind}"
    fields = ", ".join(trigger.fields) or "any field"
    return {
        TriggerType.ENTITY_CREATED: f"it starts when a {kind} is created, once; later changes do not start it",
        TriggerType.FIELD_UPDATED: f"it starts when {fields} of a {kind} changes; being created is no change",
        TriggerType.ENTITY_DELETED: f"it starts when a {kind} is deleted",
        TriggerType.SCHEDULED: f"it starts by the clock, for every {kind} that meets the conditions",
        TriggerType.MANUAL: "it starts by hand only",
    }[trigger.type]


def condition_words(workflow: Workflow, subject: Subject, unknown: str) -> tuple[bool | None, str]:
    """Return the verdict on all conditions and a sentence about it; ``unknown`` is the sentence without a verdict."""
    try:
        verdict = workflow.conditions.judge(subject)
    except TooCostly as error:
        return False, str(error)
    if verdict is True:
        return True, "all are met" if workflow.conditions.root.members else "there are none"
    if verdict is None:
        return None, unknown
    parts = [missed(finding) for finding in workflow.conditions.explain(subject) if finding.verdict is not None]
    return False, f"conditions are not met: {'; '.join(parts[:3]) or 'as a whole'}"
