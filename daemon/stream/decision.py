"""The stored reasons why candidates did not run: one document per change (promise 7).

``{_id, kind, entity_type, entity_id, change, at, judged_on?, entries: [...], more?}``: up to 100 entries, then a count.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from daemon.event import Event
from daemon.mongo.refusal import problem_of
from daemon.stream.decode import StreamEvent
from daemon.stream.entrant import Entrant
from daemon.telemetry import emit
from rules.budget import TooCostly
from rules.change import Change
from rules.explain import Reason, Refusal
from rules.identity import bson_bytes, change_id, id_from_bytes
from rules.workflow import Workflow

MAX_ENTRIES: Final = 100


def decision_document(change: Change, refusals: Sequence[Refusal], chunk: int) -> dict[str, Any]:
    """Return the decision on one change; ``chunk`` tells the parts of a change apart that spans transactions."""
    document: dict[str, Any] = {
        "_id": id_from_bytes(change.cluster_time[0], change.token, _id_parts(chunk)),
        "kind": "change",
        "entity_type": change.entity_type,
        "entity_id": change.entity_id,
        "change": change.kind,
        "at": change.at,
        "judged_on": change.judged_on,
        "entries": [refusal.to_document() for refusal in refusals[:MAX_ENTRIES]],
    }
    if len(refusals) > MAX_ENTRIES:
        document["more"] = len(refusals) - MAX_ENTRIES
    return document


@lru_cache(maxsize=16)
def _id_parts(chunk: int) -> bytes:
    return bson_bytes("decision") + bson_bytes(chunk)


def skipped_change_document(
    event: StreamEvent, entity_type: str, error: str, workflow: Workflow | None, chunk: int
) -> dict[str, Any]:
    """Return the decision on a change that could not be taken in, for ``workflow`` or (None) at all."""
    entry: dict[str, Any] = {"reason": str(Reason.INTAKE_ERROR), "detail": {"error": error}}
    if workflow is not None:
        entry = Refusal(
            workflow.id, workflow.name, workflow.version, Reason.INTAKE_ERROR, (), {"error": error}
        ).to_document()
    return {
        "_id": change_id(event.cluster_time.time, event.token, "skipped", chunk),
        "kind": "change",
        "entity_type": entity_type,
        "entity_id": event.document_id,
        "change": event.operation,
        "at": event.at,
        "entries": [entry],
    }


def given_up(workflow: Workflow, error: Exception) -> Refusal:
    """Return the refusal of an entity whose data make a workflow fail."""
    reason, detail = Reason.INTAKE_ERROR, {"error": problem_of(error)}
    if isinstance(error, TooCostly):
        reason, detail = Reason.TOO_COSTLY, error.detail
    return Refusal(workflow.id, workflow.name, workflow.version, reason, (), detail)


def given_up_document(entrant: Entrant, refusal: Refusal) -> dict[str, Any]:
    """Return the decision on an entity that a sweep, or the search for lost creations, had to skip."""
    return {
        "_id": change_id(int(entrant.triggered_at.timestamp()), "given up", entrant.execution_id),
        "kind": "change",
        "entity_type": entrant.entity_type,
        "entity_id": entrant.entity_id,
        "change": entrant.trigger["kind"],
        "at": entrant.triggered_at,
        "entries": [refusal.to_document()],
    }


def log_refusals(refusals: Iterable[tuple[Refusal, str, Any]]) -> None:
    """Log the refusals that concern an operator; each comes with the type and id of its entity."""
    for refusal, entity_type, entity_id in refusals:
        _log_refusal(refusal, entity_type, entity_id)


def _log_refusal(refusal: Refusal, entity_type: str, entity_id: Any) -> None:
    """Log loops, throttling and defects."""
    names = {"workflow_id": refusal.workflow_id, "entity_type": entity_type, "entity_id": entity_id}
    detail = refusal.detail or {}
    match refusal.reason:
        case Reason.REENTRY | Reason.DEPTH:
            emit(Event.LOOP_SUPPRESSED, **names, chain=detail.get("chain"), reason=refusal.reason)
        case Reason.THROTTLED:
            emit(Event.THROTTLE_REFUSED, **names, runs=detail.get("runs"))
        case Reason.INTAKE_ERROR:
            emit(Event.INTAKE_ERROR, **names, error=detail.get("error", ""))
