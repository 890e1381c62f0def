"""One execution as a timeline: its causes, each step with its wait, attempts and end, and the steps to come."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.admin.execution import ExecutionAdmin
from daemon.admin.identifier import exactly
from daemon.admin.weight import find_exactly, light, records_in
from daemon.executions.status import ENDED, Status

_LONGEST_CHAIN: Final = 20
_OF_EVERY_ACTION: Final = ("type", "delay", "conditions", "on_failure", "retry", "timeout")

Document = dict[str, Any]


class Timeline:
    """Makes timelines. Reads only."""

    def __init__(self, database: AsyncDatabase[Document], names: Collections, executions: ExecutionAdmin) -> None:
        self._executions = database[names.executions]
        self._versions = database[names.versions]
        self._admin = executions

    async def of(self, execution_id: str) -> Document:
        """Return ``{execution, causes, steps}``; raise NotFound, or Malformed.

        ``causes``: the executions that led here, oldest first, as ``{id, workflow_id, workflow_name}``. ``steps``:
        ``{step, action_type, parameters, delay, status, waited, attempts, started_at, executed_at, result, error,
        due_at, postponed}`` as far as they are known; the status of a step that has not ended is ``running``, ``next``,
        ``later`` or ``never``.
        """
        execution = await self._admin.show(execution_id)
        version_id = {"workflow_id": execution.get("workflow_id"), "version": execution.get("workflow_version")}
        version = await find_exactly(self._versions, version_id) or {}
        definition = version.get("definition")
        actions = records_in(definition.get("actions")) if isinstance(definition, Mapping) else []
        return {"execution": execution, "causes": await self._causes(execution), "steps": _steps(execution, actions)}

    async def _causes(self, execution: Mapping[str, Any]) -> list[Document]:
        """Follow the chain upwards, as far as its executions still exist."""
        causes: list[Document] = []
        fields = {"workflow_id": 1, "workflow_name": light("workflow_name"), "cause": 1}
        above = _cause_of(execution)
        while above is not None and len(causes) < _LONGEST_CHAIN:
            found = await self._executions.find_one({"_id": exactly(above)}, fields)
            if found is None:
                break
            causes.insert(
                0,
                {
                    "id": found["_id"],
                    "workflow_id": found.get("workflow_id"),
                    "workflow_name": found.get("workflow_name"),
                },
            )
            above = _cause_of(found)
        return causes


def _cause_of(execution: Mapping[str, Any]) -> Any:
    cause = execution.get("cause")
    return cause.get("execution_id") if isinstance(cause, Mapping) else None


def _steps(execution: Mapping[str, Any], actions: Sequence[Mapping[str, Any]]) -> list[Document]:
    records = execution.get("actions_executed")
    records = records if isinstance(records, list) else []
    before = execution.get("triggered_at")
    steps: list[Document] = []
    for index in range(max(len(actions), len(records))):
        action = actions[index] if index < len(actions) else {}
        step: Document = {
            "step": index,
            "action_type": action.get("type"),
            "parameters": {name: value for name, value in action.items() if name not in _OF_EVERY_ACTION},
            "delay": action.get("delay"),
        }
        record = records[index] if index < len(records) and isinstance(records[index], Mapping) else None
        if record is not None:
            step |= {**record, "waited": _between(before, record.get("started_at"))}
            before = record.get("executed_at")
        if record is None or (_is_current(execution, index) and execution.get("status") not in ENDED):
            step |= _to_come(execution, index)
        steps.append(step)
    return steps


def _is_current(execution: Mapping[str, Any], index: int) -> bool:
    return execution.get("step") == index


def _to_come(execution: Mapping[str, Any], index: int) -> Document:
    status = execution.get("status")
    if status in ENDED:
        return {"status": "never"}
    if not _is_current(execution, index):
        return {"status": "later"}
    told: Document = {name: execution.get(name) for name in ("due_at", "held_due_at", "postponed")}
    told |= {"attempts": execution.get("attempt"), "error": execution.get("last_error")}
    if status == Status.RUNNING:
        return {**told, "status": "running", "started_at": execution.get("step_started_at")}
    return {**told, "status": "held" if status == Status.HELD else "next"}


def _between(since: Any, until: Any) -> timedelta | None:
    return until - since if isinstance(since, datetime) and isinstance(until, datetime) else None
