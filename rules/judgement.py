"""Whether a change starts a workflow, and if not, why: everything that follows from the change alone.

Enrollment and throttling need what is stored, and are asked afterwards.
"""

from collections.abc import Mapping
from typing import Any, Final

from rules.change import Change
from rules.condition import Subject
from rules.conditions import Finding
from rules.explain import Reason, Refusal
from rules.workflow import Status, Workflow

_NOT_RUNNING: Final = {
    Status.PAUSED: Reason.PAUSED,
    Status.DRAINING: Reason.DRAINING,
    Status.STOPPED: Reason.STOPPED,
}


class NotConcerned:
    """The change is none that the workflow waits for: nothing to run, and nothing to explain."""


NOT_CONCERNED: Final = NotConcerned()


def judge(workflow: Workflow, status: Status, change: Change, max_depth: int) -> Refusal | NotConcerned | None:
    """Return None if ``change`` may start ``workflow``, otherwise why it does not.

    ``max_depth``: how many workflows may set off one another in a chain.
    """
    matched = workflow.trigger.matches(change)
    if matched is False:
        return _wrong_transition(workflow, change)
    subject = Subject(change.entity, change.at, change)
    if matched is None:
        findings = workflow.trigger.transition.explain(subject) if workflow.trigger.transition is not None else ()
        return _refusal(workflow, Reason.TRIGGER_UNKNOWN, findings)
    met = workflow.conditions.judge(subject)
    if met is not True:
        reason = Reason.CONDITION if met is False else Reason.CONDITION_UNKNOWN
        return _refusal(workflow, reason, workflow.conditions.explain(subject))
    if status is not Status.ACTIVE:
        return _refusal(workflow, _NOT_RUNNING[status])
    return _loop(workflow, change, max_depth)


def _wrong_transition(workflow: Workflow, change: Change) -> Refusal | NotConcerned:
    """Return the refusal of a field that changed, but not from or to the values asked for."""
    trigger = workflow.trigger
    if trigger.transition is None or not trigger.has_changed(change):
        return NOT_CONCERNED
    subject = Subject(change.entity, change.at, change)
    return _refusal(workflow, Reason.TRANSITION, trigger.transition.explain(subject))


def _loop(workflow: Workflow, change: Change, max_depth: int) -> Refusal | None:
    cause = change.cause
    detail = {"depth": cause.depth, "chain": [*cause.chain, workflow.id], "caused_by": cause.execution_id}
    if workflow.id in cause.chain:
        return _refusal(workflow, Reason.REENTRY, detail=detail)
    if cause.depth >= max_depth:
        return _refusal(workflow, Reason.DEPTH, detail=detail)
    return None


def _refusal(
    workflow: Workflow,
    reason: Reason,
    findings: tuple[Finding, ...] = (),
    detail: Mapping[str, Any] | None = None,
) -> Refusal:
    return Refusal(workflow.id, workflow.name, workflow.version, reason, findings, detail)
