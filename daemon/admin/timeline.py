"""One execution as a timeline: its causes, each step with its wait, attempts and end, and the steps to come."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.admin.execution import ExecutionAdmin
from daemon.admin.identifier import exactly
from daemon.admin.plan import label_of, parameters_of
from daemon.admin.weight import find_exactly, light
from daemon.executions.status import ENDED, Status
from rules.tree import END, FIRST, Place, node_of, places_in

_LONGEST_CHAIN: Final = 20

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
        ``{node, label, action_type, parameters, delay, status, waited, attempts, started_at, executed_at, result,
        error, due_at, postponed}`` as far as they are known; the status of a step that has not ended is ``running``,
        ``next``, ``later`` or ``never``.
        """
        execution = await self._admin.show(execution_id)
        version_id = {"workflow_id": execution.get("workflow_id"), "version": execution.get("workflow_version")}
        version = await find_exactly(self._versions, version_id) or {}
        definition = version.get("definition")
        actions = definition.get("actions") if isinstance(definition, Mapping) else None
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


def _steps(execution: Mapping[str, Any], actions: object) -> list[Document]:
    """Tell the nodes on the way of an execution: what has a record, where it stands, and what comes for certain.

    Which way a branch goes that was not reached yet, nobody knows: its arms are left out.
    """
    kept = execution.get("actions_executed")
    records = {
        str(record.get("node", place)): record
        for place, record in enumerate(kept if isinstance(kept, list) else ())
        if isinstance(record, Mapping)
    }
    places = {place.id: place for place in places_in(actions)}
    before = execution.get("triggered_at")
    steps: list[Document] = []
    for node in _way(places, records):
        place, record = places.get(node), records.get(node)
        step = _told(node, place.raw if place is not None and isinstance(place.raw, Mapping) else {})
        if record is not None:
            step |= {**record, "waited": _between(before, record.get("started_at"))}
            before = record.get("executed_at")
        if record is None or (_is_current(execution, node) and execution.get("status") not in ENDED):
            step |= _to_come(execution, node)
        steps.append(step)
    return steps


def _told(node: str, action: Mapping[str, Any]) -> Document:
    return {
        "node": node,
        "label": label_of(node),
        "action_type": action.get("type"),
        "parameters": parameters_of(action),
        "delay": action.get("delay"),
    }


def _way(places: Mapping[str, Place], records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the nodes in their order; those with a record that lie on no way are told at the end."""
    way: list[str] = []
    node = FIRST
    while node in places:
        way.append(node)
        place, result = places[node], records.get(node, {}).get("result")
        taken = result.get("taken") if isinstance(result, Mapping) else None
        if node in records and isinstance(place.raw, Mapping) and place.raw.get("type") == END:
            break
        node = place.arms.get(str(taken), place.following)
    return [*way, *(other for other in records if other not in way)]


def _is_current(execution: Mapping[str, Any], node: str) -> bool:
    return node_of(execution.get("at"), execution.get("step")) == node


def _to_come(execution: Mapping[str, Any], node: str) -> Document:
    status = execution.get("status")
    if status in ENDED:
        return {"status": "never"}
    if not _is_current(execution, node):
        return {"status": "later"}
    told: Document = {name: execution.get(name) for name in ("due_at", "held_due_at", "postponed")}
    told |= {"attempts": execution.get("attempt"), "error": execution.get("last_error")}
    if status == Status.RUNNING:
        return {**told, "status": "running", "started_at": execution.get("step_started_at")}
    return {**told, "status": "held" if status == Status.HELD else "next"}


def _between(since: Any, until: Any) -> timedelta | None:
    return until - since if isinstance(since, datetime) and isinstance(until, datetime) else None
