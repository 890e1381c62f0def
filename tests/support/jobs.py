"""Executions as they are queued: the document in MongoDB and the job in memory, without a daemon."""

from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId

from actions.registry import parse_action
from daemon.executions.job import Job, job_from
from rules.workflow import Workflow, parse_workflow

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
TASK: Final = {"type": "create_task", "title": "Look at it"}


def workflow_of(*actions: dict[str, Any], workflow_id: Any = "w") -> Workflow:
    """Return a workflow with these actions."""
    document = {
        "name": "On the bench",
        "trigger": {"type": "entity_created", "entity_type": "lead"},
        "actions": list(actions) or [TASK],
    }
    return parse_workflow(
        workflow_id, 1, document, entity_types=("lead", "deal"), timezone="UTC", parse_action=parse_action
    )


def execution_of(**changes: Any) -> dict[str, Any]:
    """Return the document of an execution that is due; ``changes`` are put over it."""
    return {
        "_id": ObjectId(),
        "seq": 1,
        "workflow_id": "w",
        "workflow_name": "On the bench",
        "workflow_version": 1,
        "trigger": {"type": "entity_created", "kind": "created", "at": NOW},
        "triggered_by_entity_type": "lead",
        "triggered_by_entity_id": "ada",
        "triggered_at": NOW,
        "status": "pending",
        "actions_executed": [],
        "step": 0,
        "attempt": 0,
        "due_at": NOW,
        "lane": 0,
        "cause": {"depth": 0, "chain": [], "execution_id": None},
        "epoch": 1,
        "started_at": None,
        "completed_at": None,
        **changes,
    }


def job_of(workflow: Workflow | None = None, **changes: Any) -> Job:
    """Return the job of an execution that is due; ``changes`` are put over its document."""
    document = execution_of(**changes)
    return job_from(document, workflow or workflow_of(), is_running=document["status"] == "running")
