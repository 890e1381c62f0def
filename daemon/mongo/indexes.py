"""The indexes of the daemon's collections: one table, put in place by ``reflexd init`` and at every start.

The existing indexes are compared first, so a start on a prepared database needs no right to
create indexes. A changed retention is applied to the existing index; any other difference is reported and left to
a person, because dropping an index is a decision about their database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from config.settings import Settings

_DAY_S: Final = 86_400
_LONGEST_TTL_S: Final = 2**31 - 1  # MongoDB takes no more

# The types of values other than a date, by the names that $type knows.
NOT_A_DATE: Final = [
    *("double", "string", "object", "array", "binData", "objectId", "bool", "null", "regex", "javascript"),
    *("int", "timestamp", "long", "decimal", "minKey", "maxKey"),
]

# Executions that wait and are not in the queue, because they have no due_at.
UNQUEUED: Final[Mapping[str, Any]] = {"status": {"$in": ["pending", "waiting"]}, "due_at": {"$eq": None}}

# Executions that somebody queued again by hand: they have ended and wait. daemon.executions.hand_edit finds them so.
REQUEUED: Final[Mapping[str, Any]] = {
    "status": {"$in": ["pending", "waiting"]},
    "completed_at": {"$type": "date"},
    "due_at": {"$type": "date"},
}

Keys = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Index:
    """One index: the collection's name, the index's name, its keys, and the filter that limits it.

    ``expire_after_s`` makes it a TTL index.
    """

    collection: str
    name: str
    keys: Keys
    partial: Mapping[str, Any] = field(default_factory=dict)
    expire_after_s: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of createIndex, without the keys."""
        options: dict[str, Any] = {"name": self.name}
        if self.partial:
            options["partialFilterExpression"] = dict(self.partial)
        if self.expire_after_s is not None:
            options["expireAfterSeconds"] = self.expire_after_s
        return options


class IndexWork(StrEnum):
    """The work that a wanted index needs."""

    NOTHING = "nothing"
    CREATE = "create"
    SET_EXPIRY = "set_expiry"  # only the retention differs
    CONFLICT = "conflict"  # another index is in its place


def wanted_indexes(settings: Settings) -> tuple[Index, ...]:
    """Return every index the daemon wants."""
    names = settings.collections
    return (
        *_of_executions(names.executions, _days(settings.execution_retention_days)),
        Index(names.decisions, "retention", (("at", 1),), expire_after_s=_days(settings.decision_retention_days)),
        Index(names.decisions, "newest_of_entity", (("entity_id", 1), ("at", -1), ("_id", -1))),
        Index(names.effects, "retention", (("at", 1),), expire_after_s=_days(settings.effect_retention_days)),
        # A request without an answer has no date there, and so does not expire.
        Index(
            names.requests, "retention", (("answered_at", 1),), expire_after_s=_days(settings.request_retention_days)
        ),
        Index(names.versions, "latest", (("latest", 1),), {"latest": True}),
        Index(names.versions, "changed", (("changed_seq", 1),)),
        # Holds only the switches that have not been applied yet.
        Index(names.versions, "switching", (("changed_seq", 1), ("version", 1)), {"transition": {"$exists": True}}),
        Index(names.versions, "by_age", (("at", 1),)),
        Index(names.versions, "by_workflow", (("workflow_id", 1), ("version", -1))),
        Index(names.state, "by_kind", (("kind", 1), ("changed_at", 1))),
        Index(names.tasks, "by_execution", (("execution_id", 1),)),
        Index(names.notifications, "by_execution", (("execution_id", 1),)),
    )


def _of_executions(name: str, retention_s: int) -> Iterable[Index]:
    queued = {"due_at": {"$type": "date"}}  # $$NOW comparisons match null and strings too (MONGODB.md, "Queries")
    # Not the pending ones: they come and go at once, and an index entry costs as much as the write itself.
    unfinished = {"status": {"$in": ["running", "waiting", "held"]}}
    ended = {"status": {"$in": ["completed", "failed", "cancelled"]}}
    return (
        Index(name, "queue", (("lane", 1), ("due_at", 1), ("seq", 1)), queued),
        # For a workflow far behind in its lane, and for switches of one workflow.
        Index(name, "queue_by_workflow", (("workflow_id", 1), ("due_at", 1), ("lane", 1)), queued),
        # Holds only what somebody queued by hand with a due_at that is no date: nearly nothing.
        Index(name, "misqueued", (("due_at", 1),), {"due_at": {"$type": NOT_A_DATE}}),
        Index(name, "unqueued", (("status", 1),), UNQUEUED),
        # Holds only what somebody cancelled by editing the document: nearly nothing.
        Index(
            name,
            "cancelled_by_hand",
            (("status", 1), ("completed_at", 1)),
            {"status": "cancelled", "completed_at": {"$type": "null"}},
        ),
        Index(name, "queued_again", (("due_at", 1), ("seq", 1)), REQUEUED),
        Index(name, "newest", (("seq", -1), ("_id", -1))),
        Index(name, "newest_of_workflow", (("workflow_id", 1), ("seq", -1), ("_id", -1))),
        Index(name, "failures", (("seq", -1),), {"status": "failed"}),
        Index(name, "unfinished", (("status", 1), ("workflow_id", 1)), unfinished),
        Index(name, "by_entity", (("triggered_by_entity_id", 1), ("workflow_id", 1), ("triggered_at", -1))),
        Index(name, "retention", (("completed_at", 1),), ended, retention_s),
    )


def work_for(wanted: Index, existing: Iterable[Mapping[str, Any]]) -> IndexWork:
    """Return the work that an index needs, given the indexes that listIndexes named for the collection."""
    for index in existing:
        is_same_kind = (
            tuple(index["key"].items()) == wanted.keys
            and dict(index.get("partialFilterExpression", {})) == dict(wanted.partial)
            and not index.get("unique")
            and not index.get("sparse")
        )
        expiry = index.get("expireAfterSeconds")
        if is_same_kind and (expiry is None) == (wanted.expire_after_s is None):
            if expiry == wanted.expire_after_s:
                return IndexWork.NOTHING  # under any name: an admin may have made it by hand
            if index["name"] == wanted.name:
                return IndexWork.SET_EXPIRY
        if index["name"] == wanted.name or (is_same_kind and expiry is not None):
            return IndexWork.CONFLICT
    return IndexWork.CREATE


def _days(days: float) -> int:
    return min(int(days * _DAY_S), _LONGEST_TTL_S)
