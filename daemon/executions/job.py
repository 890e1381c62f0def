"""One queued step in memory: what is needed to run it, and nothing more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import Any, Final

from bson import ObjectId

from config.found import found
from daemon.executions import ran
from daemon.executions.ran import NOTHING, Ran, Record, ran_in
from daemon.executions.status import QUEUED, Status
from daemon.mongo.heavy import HEAVY, HeavyDocument
from rules.cause import Cause
from rules.identity import bson_bytes, can_be_id, entity_key
from rules.tree import is_node, node_of
from rules.workflow import Workflow

Key = tuple[ObjectId, str, int]  # execution id, node, attempt: what a job is known by in memory

_MESSAGE_CHARACTERS: Final = 200
_LONGEST_ID: Final = 64 * 1024  # bytes
_KINDS: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "execution_id": ("an ObjectId", ObjectId),
    "workflow_name": ("a text", str),
    "trigger": ("an object", dict),
    "entity_type": ("a text", str),
    "triggered_at": ("a date", datetime),
    "due_at": ("a date", datetime),
    "started_at": ("a date or null", (datetime, NoneType)),
    "last_entity": ("an object", (dict, NoneType)),
    "postponed": ("an object", (dict, NoneType)),
}

# Stands for the image of a deleted entity that is too large to be held, or loaded, with every job: see EntityReader.
LEFT_IN_MONGODB: Final[Mapping[str, Any]] = {"": "left in MongoDB"}
_IMAGE_SIZE: Final = {"$cond": [{"$eq": [{"$type": "$entity"}, "object"]}, {"$bsonSize": "$entity"}, 0]}
_IMAGE: Final = {"$cond": [{"$gt": [_IMAGE_SIZE, HEAVY]}, {"$literal": LEFT_IN_MONGODB}, "$entity"]}

# What a job is made of: everything else of an execution stays in MongoDB.
PROJECTION: Final[Mapping[str, Any]] = {
    "seq": 1,
    "workflow_id": 1,
    "workflow_name": 1,
    "workflow_version": 1,
    "trigger": 1,
    "triggered_by_entity_type": 1,
    "triggered_by_entity_id": 1,
    "triggered_at": 1,
    "status": 1,
    "at": 1,
    "step": 1,
    "attempt": 1,
    "due_at": 1,
    "lane": 1,
    "cause": 1,
    "failed_steps": 1,
    "crashes": 1,
    "postponed": 1,
    "step_started_at": 1,
    "started_at": 1,
    "epoch": 1,
    "entity": _IMAGE,
    "completed_at": 1,
    "ran": ran.PROJECTION,
}


class CorruptExecution(ValueError):
    """An execution document cannot be what the daemon wrote: it never runs by accident."""


@dataclass(slots=True, eq=False)
class Job:
    """One attempt of one node of one execution, waiting or running.

    ``at`` and ``step`` are what MongoDB holds, ``node`` is where the execution stands: the same, or behind the branches
    that were ``passed`` in memory and are not recorded yet.
    """

    execution_id: ObjectId
    seq: int
    workflow_id: Any
    workflow_name: str
    workflow_version: int
    workflow: Workflow | None
    trigger: Mapping[str, Any]
    entity_type: str
    entity_id: Any
    entity_key: tuple[str, Any]
    triggered_at: datetime
    status: Status
    node: str
    at: str | None
    step: int
    attempt: int
    due_at: datetime
    lane: int
    cause: Cause
    failed_steps: int
    started_at: datetime | None
    last_entity: Mapping[str, Any] | None  # of a deleted entity: as it last was, or LEFT_IN_MONGODB
    crashes: int  # how often an owner failed while this node was running
    postponed: Mapping[str, Any] | None  # {reason, until, since, times}, while its outcome is Postpone
    ran: Mapping[str, Ran]  # after a retry by a person: how the nodes ended that have run
    passed: tuple[Record, ...] = ()

    @property
    def key(self) -> Key:
        """The key of the job in memory."""
        return self.execution_id, self.node, self.attempt

    @property
    def image(self) -> Mapping[str, Any] | None:
        """The deleted entity as it last was; None for any other, and where it has to be read apart."""
        return None if self.has_heavy_image else self.last_entity

    @property
    def has_heavy_image(self) -> bool:
        """Whether the image of the deleted entity has to be read apart."""
        return self.last_entity == LEFT_IN_MONGODB

    @property
    def names(self) -> dict[str, Any]:
        """The fields by which log lines name this job."""
        return {
            "execution_id": self.execution_id,
            "workflow_id": self.workflow_id,
            "entity_type": self.entity_type,
            "entity_id": self.entity_id,
        }


def job_from(document: Mapping[str, Any], workflow: Workflow | None = None, *, is_running: bool = False) -> Job:
    """Return the job of an execution document, of a queued one unless ``is_running``.

    A document that comes with its workflow was just made in this process and is not checked. Raise CorruptExecution,
    naming the field, if the daemon cannot have written the document.
    """
    try:
        cause, at, step = document["cause"], document.get("at"), document["step"]
        job = Job(
            document["_id"],
            document["seq"],
            document["workflow_id"],
            document["workflow_name"],
            document["workflow_version"],
            workflow,
            document["trigger"],
            document["triggered_by_entity_type"],
            document["triggered_by_entity_id"],
            entity_key(document["triggered_by_entity_type"], document["triggered_by_entity_id"]),
            document["triggered_at"],
            Status(document["status"]),
            node_of(at, step),
            at,
            step,
            document["attempt"],
            document["triggered_at" if is_running else "due_at"],
            document["lane"],
            Cause(cause["depth"], _listed(cause["chain"])),
            document.get("failed_steps", 0),
            document.get("started_at"),
            LEFT_IN_MONGODB if type(document.get("entity")) is HeavyDocument else document.get("entity"),
            document.get("crashes", 0),
            document.get("postponed"),
            ran_in(document["ran"]) if "ran" in document else NOTHING,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptExecution(_why(error, document)) from error
    _check(job, document.get("epoch"), is_running=is_running)
    return job


def _why(error: Exception, document: Mapping[str, Any]) -> str:
    """Return what is wrong with a document of which no job can be made."""
    if isinstance(error, KeyError):
        return f"{error.args[0]}: expected a value, found nothing"
    if not isinstance(document["cause"], Mapping):
        return f"cause: expected an object, found {found(document['cause'])}"
    status = document.get("status")
    if not isinstance(status, str) or status not in list(Status):
        return f"status: expected one of {', '.join(Status)}; found {found(status)}"
    return str(error)[:_MESSAGE_CHARACTERS]


def _check(job: Job, epoch: object, *, is_running: bool) -> None:
    if not is_running and job.status not in QUEUED:
        raise CorruptExecution(f"status: expected one that is queued, found '{job.status}'")
    if is_running and not _is_count(epoch):
        raise CorruptExecution(f"epoch: expected that of its owner, found {found(epoch)}")
    if job.workflow is None:
        _check_values(job)


def _check_values(job: Job) -> None:
    for name in ("seq", "step", "attempt", "lane", "failed_steps", "crashes", "workflow_version"):
        if not _is_count(getattr(job, name)):
            raise CorruptExecution(f"{name}: expected a whole number, 0 or more, found {found(getattr(job, name))}")
    for name, (expected, kind) in _KINDS.items():
        if not isinstance(getattr(job, name), kind):
            raise CorruptExecution(f"{name}: expected {expected}, found {found(getattr(job, name))}")
    if not is_workflow_id(job.workflow_id):
        raise CorruptExecution(f"workflow_id: expected an id, found {found(job.workflow_id)}")
    if not _is_count(job.cause.depth):
        raise CorruptExecution(f"cause.depth: expected a whole number, 0 or more, found {found(job.cause.depth)}")
    if job.postponed is not None and not _is_postponement(job.postponed):
        raise CorruptExecution(f"postponed: expected since and times, found {found(job.postponed)}")
    at: object = job.at
    if at is not None and not (isinstance(at, str) and is_node(at)):
        raise CorruptExecution(f"at: expected a node, found {found(at)}")


def is_workflow_id(value: Any) -> bool:
    """Return whether ``value`` can be the id of a workflow: one that a query may name, and a counter be kept for."""
    return isinstance(value, ObjectId) or (can_be_id(value) and len(bson_bytes(value)) <= _LONGEST_ID)


def _listed(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {found(value)}")
    return tuple(value)


def _is_postponement(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("since"), datetime) and _is_count(value.get("times"))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
