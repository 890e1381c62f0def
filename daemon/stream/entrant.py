"""Who is about to enter a workflow: everything an execution is made of, before it is numbered and stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from daemon.executions.status import Status
from rules.cause import Cause
from rules.change import Change, Kind
from rules.explain import Refusal
from rules.identity import execution_id, lane_of
from rules.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Entrant:
    """One entity about to enter one workflow. ``entity`` is what enrollment looks at; ``kept`` is stored with the
    execution because nobody can read it later: the last image of a deleted entity. ``problem``: the refusal
    of one of which nobody can tell whether it may enter.
    """

    workflow: Workflow
    entity_type: str
    entity_id: Any
    entity: Mapping[str, Any] | None
    execution_id: ObjectId
    triggered_at: datetime
    cause: Cause
    trigger: Mapping[str, Any]
    is_forced: bool = False  # by hand: neither enrollment nor throttling is asked
    request_id: Any = None
    kept: Mapping[str, Any] | None = None
    problem: Refusal | None = None


def entrant_of(workflow: Workflow, change: Change) -> Entrant:
    """Return the entrant that ``change`` makes for ``workflow``."""
    trigger: dict[str, Any] = {"type": workflow.trigger.type, "kind": change.kind, "at": change.at}
    if change.kind is Kind.UPDATED and change.touched is not None:
        trigger["fields"] = sorted(change.touched)[:50]
    if change.judged_on != "event":
        trigger["judged_on"] = change.judged_on
    return Entrant(
        workflow,
        change.entity_type,
        change.entity_id,
        change.entity,
        execution_id(change, workflow.id),
        change.at,
        change.cause,
        trigger,
        kept=change.before if change.kind is Kind.DELETED else None,
    )


def execution_document(entrant: Entrant, seq: int, *, now: datetime, lanes: int, time_scale: float) -> dict[str, Any]:
    """Return the execution to store. ``now``: when an immediate first step is due; it never runs backwards."""
    delay = entrant.workflow.steps[0].delay / time_scale
    due_at = entrant.triggered_at + delay if delay else now
    document: dict[str, Any] = {
        "_id": entrant.execution_id,
        "seq": seq,
        "workflow_id": entrant.workflow.id,
        "workflow_name": entrant.workflow.name,
        "workflow_version": entrant.workflow.version,
        "trigger": dict(entrant.trigger),
        "triggered_by_entity_type": entrant.entity_type,
        "triggered_by_entity_id": entrant.entity_id,
        "triggered_at": entrant.triggered_at,
        "status": Status.WAITING if delay else Status.PENDING,
        "actions_executed": [],
        "step": 0,
        "attempt": 0,
        "due_at": due_at,
        "lane": lane_of(entrant.entity_type, entrant.entity_id, lanes),
        "cause": {
            "depth": entrant.cause.depth,
            "chain": list(entrant.cause.chain),
            "execution_id": entrant.cause.execution_id,
        },
        "started_at": None,
        "completed_at": None,
    }
    if entrant.kept is not None:
        document["entity"] = entrant.kept
    return document
