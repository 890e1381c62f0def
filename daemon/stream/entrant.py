"""Entrants: entities about to enter a workflow, with everything that their execution will contain."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from daemon.executions.machine import enter
from daemon.mongo.heavy import HeavyDocument
from rules.cause import Cause
from rules.change import Change, Kind
from rules.explain import Refusal
from rules.identity import bson_bytes, execution_id, lane_of
from rules.tree import number_of
from rules.workflow import Workflow

MOST_KEPT_BYTES: Final = 15 * 1024 * 1024  # of a deleted entity: the records of the steps have to fit beside it
_NAME_CHARACTERS: Final = 200
_MOST_NAMES: Final = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """The image of a deleted entity for its execution, its size in bytes, and the fields that did not fit."""

    image: Mapping[str, Any] | None = None
    size: int = 0
    left_out: tuple[str, ...] = ()


_NOTHING_KEPT: Final = Kept()


@dataclass(slots=True)
class Entrant:
    """One entity about to enter one workflow. ``entity`` is what enrollment looks at; ``kept`` is stored with the
    execution because nobody can read it later: the last image of a deleted entity. ``problem``: the refusal
    of one that could not be judged.
    """

    workflow: Workflow
    entity_type: str
    entity_id: Any
    entity: Mapping[str, Any] | None
    execution_id: ObjectId
    triggered_at: datetime
    cause: Cause
    trigger: Mapping[str, Any]
    is_forced: bool = False  # by hand: enrollment and throttling do not apply
    request_id: Any = None
    kept: Kept = _NOTHING_KEPT
    problem: Refusal | None = None


def kept_of(change: Change) -> Kept:
    """Return what executions keep of the entity that ``change`` deleted: the smallest fields first, while they fit."""
    before = change.before
    if change.kind is not Kind.DELETED or before is None:
        return _NOTHING_KEPT
    size = len(before.raw) if isinstance(before, HeavyDocument) else len(bson_bytes(before))
    if size <= MOST_KEPT_BYTES:
        return Kept(before, size)
    return _cut(before)


def _cut(before: Mapping[str, Any]) -> Kept:
    if isinstance(before, HeavyDocument):
        sizes = before.sizes()
    else:
        sizes = {name: len(bson_bytes(value)) for name, value in before.items()}
    kept: set[str] = set()
    total = 0
    for name in sorted(sizes, key=lambda each: (each != "_id", sizes[each])):
        needed = sizes[name] + len(name.encode()) + 2
        if total + needed > MOST_KEPT_BYTES:
            break
        total += needed
        kept.add(name)
    image = (
        before.only(kept)
        if isinstance(before, HeavyDocument)
        else {name: before[name] for name in sizes if name in kept}
    )
    left_out = [name[:_NAME_CHARACTERS] for name in sizes if name not in kept]
    return Kept(image, total, tuple(left_out) or (f"those after the first {len(sizes):,} fields",))


def entrant_of(workflow: Workflow, change: Change, kept: Kept = _NOTHING_KEPT) -> Entrant:
    """Return the entrant that ``change`` makes for ``workflow``; ``kept`` is what its execution is to keep."""
    trigger: dict[str, Any] = {"type": workflow.trigger.type, "kind": change.kind, "at": change.at}
    if change.kind is Kind.UPDATED and change.touched is not None:
        trigger["fields"] = [path[:_NAME_CHARACTERS] for path in sorted(change.touched)[:50]]
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
        kept=kept,
    )


def execution_document(entrant: Entrant, seq: int, *, now: datetime, lanes: int, time_scale: float) -> dict[str, Any]:
    """Return the execution to store. ``now``: when an immediate first step is due; it never runs backwards."""
    entered = enter(entrant.workflow.program, entrant.triggered_at, now, time_scale)
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
        "status": entered.status,
        "actions_executed": [],
        "at": entered.node,
        "step": number_of(entered.node),
        "attempt": 0,
        "due_at": entered.due_at,
        "lane": lane_of(entrant.entity_type, entrant.entity_id, lanes),
        "cause": {
            "depth": entrant.cause.depth,
            "chain": list(entrant.cause.chain),
            "execution_id": entrant.cause.execution_id,
        },
        "started_at": None,
        "completed_at": None,
    }
    if entrant.kept.image is not None:
        document["entity"] = entrant.kept.image
    if entrant.kept.left_out:
        document |= {"image": "cut", "image_left_out": list(entrant.kept.left_out[:_MOST_NAMES])}
        document["image_left_out_count"] = len(entrant.kept.left_out)
    return document
