"""The documents that the bounds write: of the shape and size of the daemon's, made without any of its work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo import UpdateOne

from benchmarks.workload import WORKFLOW_ID

LANES: Final = 32
_NAME: Final = "Look at new leads"


@dataclass(frozen=True, slots=True)
class Queued:
    """What a bound keeps of an execution until it finishes it."""

    execution_id: ObjectId
    lead_id: ObjectId
    lane: int
    due_at: datetime


def execution(queued: Queued, seq: int, triggered_at: datetime, delay: timedelta) -> dict[str, Any]:
    """Return an execution that waits for its only step."""
    return {
        "_id": queued.execution_id,
        "seq": seq,
        "workflow_id": WORKFLOW_ID,
        "workflow_name": _NAME,
        "workflow_version": 1,
        "trigger": {"type": "entity_created", "kind": "created", "at": triggered_at},
        "triggered_by_entity_type": "lead",
        "triggered_by_entity_id": queued.lead_id,
        "triggered_at": triggered_at,
        "status": "waiting" if delay else "pending",
        "actions_executed": [],
        "step": 0,
        "attempt": 0,
        "due_at": queued.due_at,
        "lane": queued.lane,
        "cause": {"depth": 0, "chain": [], "execution_id": None},
        "started_at": None,
    }


def step(task_id: ObjectId, now: datetime) -> dict[str, Any]:
    """Return what the history keeps of the step."""
    return {
        "action_type": "create_task",
        "status": "success",
        "result": {"task_id": task_id},
        "attempts": 1,
        "started_at": now,
        "executed_at": now,
    }


def ended(document: dict[str, Any], task_id: ObjectId, now: datetime) -> dict[str, Any]:
    """Return an execution as it is after its step, for bounds that write it once."""
    after = {
        **document,
        "status": "completed",
        "actions_executed": [step(task_id, now)],
        "step": 1,
        "started_at": now,
        "completed_at": now,
    }
    del after["due_at"]
    return after


def finish(queued: Queued, status: str, task_id: ObjectId, now: datetime) -> UpdateOne:
    """Return the compare-and-set that ends an execution."""
    return UpdateOne(
        {"_id": queued.execution_id, "step": 0, "attempt": 0, "status": status},
        {
            "$push": {"actions_executed": step(task_id, now)},
            "$set": {"step": 1, "attempt": 0, "started_at": now, "status": "completed", "completed_at": now},
            "$unset": {"due_at": "", "last_error": ""},
        },
    )


def task(queued: Queued, task_id: ObjectId, now: datetime) -> dict[str, Any]:
    """Return the task that create_task makes."""
    return {
        "_id": task_id,
        "title": "Follow-up",
        "description": "",
        "priority": "medium",
        "status": "open",
        "assignee": None,
        "due_at": None,
        "entity_type": "lead",
        "entity_id": queued.lead_id,
        "workflow_id": WORKFLOW_ID,
        "execution_id": queued.execution_id,
        "created_at": now,
    }


def decision(lead_id: ObjectId, found: str, at: datetime) -> dict[str, Any]:
    """Return why a lead did not enter."""
    condition = {"field": "source", "operator": "equals", "expected": "website_form", "actual": found}
    return {
        "_id": ObjectId(),
        "kind": "change",
        "entity_type": "lead",
        "entity_id": lead_id,
        "change": "created",
        "at": at,
        "judged_on": "event",
        "entries": [
            {
                "workflow_id": WORKFLOW_ID,
                "workflow_name": _NAME,
                "workflow_version": 1,
                "reason": "condition_not_met",
                "conditions": [condition],
            }
        ],
    }


def counters(batch: Sequence[Queued], now: datetime) -> list[UpdateOne]:
    """Return the updates that count executions that have ended, one per lane."""
    totals: dict[int, int] = {}
    for queued in batch:
        totals[queued.lane] = totals.get(queued.lane, 0) + 1
    return [
        UpdateOne(
            {"_id": f"counter/bound/{lane}"},
            {
                "$inc": {"execution_count": count, "success_count": count, "failure_count": 0},
                "$max": {"last_executed_at": now},
                "$set": {"kind": "counter", "workflow_id": WORKFLOW_ID},
                "$currentDate": {"changed_at": True},
            },
            upsert=True,
        )
        for lane, count in totals.items()
    ]
