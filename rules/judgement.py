"""Judge whether a change starts a workflow, and if not, why: everything that follows from the change alone.

The intake checks enrollment and throttling afterwards, because they need stored documents.
"""

from collections.abc import Mapping
from typing import Any, Final

from rules.budget import Budget, TooCostly
from rules.change import Change
from rules.condition import Subject
from rules.conditions import Conditions, Finding
from rules.explain import Reason, Refusal
from rules.workflow import Workflow, WorkflowStatus

_NOT_RUNNING: Final = {
    WorkflowStatus.PAUSED: Reason.PAUSED,
    WorkflowStatus.DRAINING: Reason.DRAINING,
    WorkflowStatus.STOPPED: Reason.STOPPED,
}


class NotConcerned:
    """The workflow does not wait for changes of this kind: there is nothing to run and nothing to explain."""


NOT_CONCERNED: Final = NotConcerned()


def judge(
    workflow: Workflow,
    status: WorkflowStatus,
    change: Change,
    max_depth: int,
    budget: Budget | None = None,
    *,
    explains: bool = True,
) -> Refusal | NotConcerned | None:
    """Return None if ``change`` may start ``workflow``, otherwise why it does not.

    ``max_depth``: how many workflows may set off one another in a chain. ``budget`` limits the judgement; beyond it the
    verdict is ``too_costly``. ``explains`` False leaves the findings out, for refusals that are not stored.
    """
    subject = Subject(change.entity, change.at, change, budget or Budget())
    try:
        return _judge(workflow, status, subject, change, max_depth, explains)
    except TooCostly as error:
        error.path = error.path or "trigger"
        return _refusal(workflow, Reason.TOO_COSTLY, detail=error.detail)


def _judge(
    workflow: Workflow, status: WorkflowStatus, subject: Subject, change: Change, max_depth: int, explains: bool
) -> Refusal | NotConcerned | None:
    trigger, conditions = workflow.trigger, workflow.conditions
    matched = trigger.matches(change, subject.budget)
    if matched is False:
        # A field that changed, but not from or to the values asked for, is explained.
        if trigger.transition is None or not trigger.has_changed(change, subject.budget):
            return NOT_CONCERNED
        return _refusal(workflow, Reason.TRANSITION, _findings(trigger.transition, subject, explains))
    if matched is None:
        return _refusal(workflow, Reason.TRIGGER_UNKNOWN, _findings(trigger.transition, subject, explains))
    met = conditions.judge(subject)
    if met is not True:
        reason = Reason.CONDITION if met is False else Reason.CONDITION_UNKNOWN
        return _refusal(workflow, reason, _findings(conditions, subject, explains))
    if status is not WorkflowStatus.ACTIVE:
        return _refusal(workflow, _NOT_RUNNING[status])
    return _loop(workflow, change, max_depth)


def _findings(conditions: Conditions | None, subject: Subject, explains: bool) -> tuple[Finding, ...]:
    return conditions.explain(subject) if explains and conditions is not None else ()


def _loop(workflow: Workflow, change: Change, max_depth: int) -> Refusal | None:
    cause = change.cause
    if workflow.id in cause.chain:
        reason = Reason.REENTRY
    elif cause.depth >= max_depth:
        reason = Reason.DEPTH
    else:
        return None
    detail = {"depth": cause.depth, "chain": [*cause.chain, workflow.id], "caused_by": cause.execution_id}
    return _refusal(workflow, reason, detail=detail)


def _refusal(
    workflow: Workflow,
    reason: Reason,
    findings: tuple[Finding, ...] = (),
    detail: Mapping[str, Any] | None = None,
) -> Refusal:
    return Refusal(workflow.id, workflow.name, workflow.version, reason, findings, detail)
