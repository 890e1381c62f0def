"""Requests: documents that people insert to run a workflow by hand or to act on an execution, answered in place.

``{workflow_id, entity_id, entity_type?, force?}`` runs a workflow for an entity. A text id is tried as it
is, then as an ObjectId. Conditions and enrollment are checked unless ``force`` is true; a workflow that is not active
does not run. ``{execution_id, do, as?, step?}`` is a command: see ``daemon.executions.command``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from config.error import ReflexdError, nearest
from daemon.executions.command import Command, command_from
from daemon.mongo.heavy import renew
from daemon.stream.decode import EventSubject, StreamEvent
from daemon.stream.entrant import Entrant
from daemon.versions.workflow_index import WorkflowIndex
from rules.budget import TooCostly
from rules.cause import OUTSIDE
from rules.condition import Subject
from rules.explain import missed
from rules.identity import change_id, entity_key, readings
from rules.path import MISSING
from rules.version import Version
from rules.workflow import Workflow, WorkflowStatus

_RUN_KEYS: Final = ("workflow_id", "entity_id", "entity_type", "force")


class RequestRefused(ReflexdError):
    """A request is refused; the message is the answer."""


@dataclass(frozen=True, slots=True)
class ManualRun:
    """A request that may run: its entrant has still to be enrolled."""

    request_id: Any
    entrant: Entrant


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """A request with a command on an execution: the answer is the result of the command."""

    request_id: Any
    command: Command


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that is refused, and why."""

    request_id: Any
    reason: str


class Manual:
    """Plans requests against the workflow index."""

    def __init__(self, index: WorkflowIndex, entity_types: Sequence[str]) -> None:
        self._index = index
        self._entity_types = entity_types

    def plan(
        self, event: StreamEvent, entities: Mapping[tuple[str, Any], Mapping[str, Any]]
    ) -> ManualRun | ExecutionRequest:
        """Return the run or command of a request; raise RequestRefused or CommandRefused with the answer."""
        request = event.document or {}
        if "do" in request or "execution_id" in request:
            return ExecutionRequest(event.document_id, command_from(request))
        _check(request)
        version = self._version(request["workflow_id"])
        workflow = self._runnable(version)
        entity_type, entity = self._entity(request, workflow, entities)
        is_forced = request.get("force", False)
        if not is_forced:
            renew(entity)
            subject = Subject(entity, event.at)
            if not self._is_met(workflow, subject):
                findings = map(missed, workflow.conditions.explain(subject, 3))
                raise RequestRefused(f"condition_not_met: {'; '.join(findings)}")
        entrant = Entrant(
            workflow,
            entity_type,
            entity["_id"],
            entity,
            change_id(event.cluster_time.time, event.token, workflow.id),
            event.at,
            OUTSIDE,
            {"type": "manual", "kind": "manual", "at": event.at, "request_id": event.document_id},
            is_forced,
            event.document_id,
        )
        return ManualRun(event.document_id, entrant)

    def entities_of(self, events: Sequence[StreamEvent]) -> list[tuple[str, Any]]:
        """Return every (type, id) that the requests among ``events`` could mean."""
        wanted: list[tuple[str, Any]] = []
        for event in events:
            request = event.document
            if event.subject is not EventSubject.REQUEST or request is None or "entity_id" not in request:
                continue
            wanted += [(kind, each) for kind in self._types(request) for each in readings(request["entity_id"])]
        return wanted

    def _types(self, request: Mapping[str, Any]) -> list[str]:
        named = request.get("entity_type")
        if named is None:
            version = next(filter(None, map(self._index.get, readings(request.get("workflow_id")))), None)
            workflow = version.workflow if version is not None else None
            named = workflow.trigger.entity_type if workflow is not None else None
        if named is None:
            return list(self._entity_types)
        return [named] if named in self._entity_types else []

    def _version(self, workflow_id: Any) -> Version:
        for reading in readings(workflow_id):
            version = self._index.get(reading)
            if version is not None and not version.is_deleted:
                return version
        raise RequestRefused("workflow_not_found")

    def _runnable(self, version: Version) -> Workflow:
        if version.workflow is None:
            raise RequestRefused(f"workflow_invalid: {version.error}")
        if version.status is not WorkflowStatus.ACTIVE:
            raise RequestRefused(str(version.status))
        return version.workflow

    def _is_met(self, workflow: Workflow, subject: Subject) -> bool:
        try:
            return workflow.conditions.judge(subject) is True
        except TooCostly as error:
            raise RequestRefused(str(error)) from error

    def _entity(
        self,
        request: Mapping[str, Any],
        workflow: Workflow,
        entities: Mapping[tuple[str, Any], Mapping[str, Any]],
    ) -> tuple[str, Mapping[str, Any]]:
        named, own = request.get("entity_type"), workflow.trigger.entity_type
        if named is not None and own is not None and named != own:
            raise RequestRefused(f"entity_type: expected '{own}', as the workflow says, found '{named}'")
        if named is not None and named not in self._entity_types:
            raise RequestRefused(
                f"entity_type: expected one of {', '.join(self._entity_types)}{nearest(str(named), self._entity_types)}"
            )
        for kind in self._types(request):
            for reading in readings(request["entity_id"]):
                entity = entities.get(entity_key(kind, reading))
                if entity is not None:
                    return kind, entity
        raise RequestRefused("entity_not_found")


def _check(request: Mapping[str, Any]) -> None:
    for name in ("workflow_id", "entity_id"):
        if request.get(name, MISSING) is MISSING:
            raise RequestRefused(f"{name}: expected an id, found nothing")
    for name in request:
        if name not in _RUN_KEYS and name != "_id":
            raise RequestRefused(f"{name[:80]}: unknown key{nearest(name[:80], _RUN_KEYS)}")
    if not isinstance(request.get("force", False), bool):
        raise RequestRefused("force: expected true or false")
    if not isinstance(request.get("entity_type", ""), str):
        raise RequestRefused("entity_type: expected a text")
