"""The recent activity of workflows: counts by hour, the last error, and executions that wait for a decision."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ExecutionTimeout

from config.collection_names import Collections
from daemon.admin.execution import NEWEST
from daemon.admin.identifier import id_text
from daemon.admin.plan import label_of
from daemon.admin.weight import light, page_of
from daemon.admin.workflow import behind, shown_name
from daemon.executions.status import Status, StepStatus
from rules.identity import bson_bytes
from rules.workflow import WorkflowStatus

HOURS: Final = 24
MOST_FAILURES: Final = 100
_COUNTED_FOR: Final = timedelta(seconds=15)  # for so long counts are reused: counting a day may take long
_LONGEST_COUNT_MS: Final = 2_000
_SHOWN: Final = (
    "status",
    "execution_count",
    "success_count",
    "failure_count",
    "last_executed_at",
    "observed",
    "trigger",
)
_FAILURE: Final = {
    "workflow_id": 1,
    "workflow_name": light("workflow_name"),
    "triggered_by_entity_type": light("triggered_by_entity_type"),
    "triggered_by_entity_id": 1,
    "completed_at": 1,
    "reason": light("reason"),
    "actions_executed.node": 1,
    "actions_executed.action_type": 1,
    "actions_executed.status": 1,
    "actions_executed.error": 1,
}

_WORKFLOW: Final = {
    "name": light("name"),
    **{name: light(name, 4096) for name in _SHOWN},
    "trigger": {name: light(f"trigger.{name}") for name in ("type", "entity_type")},
}
_MOST_COUNTED: Final = 32  # pages whose counts are kept

Document = dict[str, Any]
Hours = dict[bytes, list[Document]]


class Activity:
    """Reads workflows and executions; its counts by hour are up to 15 s old."""

    def __init__(self, database: AsyncDatabase[Document], names: Collections, now: Callable[[], datetime]) -> None:
        """``now`` tells the server's time."""
        self._workflows = database[names.workflows]
        self._executions = database[names.executions]
        self._now = now
        self._counted: OrderedDict[str, tuple[datetime, Hours | None]] = OrderedDict()  # by page

    async def workflows(self, limit: int, after: str | None = None) -> tuple[list[Document], str | None]:
        """Return a page of workflows in the order of their ids, and the id to go on after if there are more.

        Each is ``{id, name, status, counters, observed, trigger, hours, last_failure}``. ``hours``: ``{runs, failed}``
        of the last 24 hours, oldest first; None where counting took too long. ``last_failure``: the newest failed
        execution, as ``failures`` tells it, if it is among the newest hundred.
        """
        pipeline: list[Document] = [*behind(after), {"$sort": {"_id": 1}}, {"$project": _WORKFLOW}]
        found, has_more = await page_of(self._workflows, pipeline, limit)
        hours = await self._hours(after or "", [document["_id"] for document in found])
        last: dict[bytes, Document] = {}
        for failure in await self.failures():
            last.setdefault(bson_bytes(failure["workflow_id"]), failure)
        shown = [
            {
                "id": document["_id"],
                "name": shown_name(document),
                **{name: document.get(name) for name in _SHOWN},
                "status": str(document.get("status", WorkflowStatus.ACTIVE)),
                "hours": None if hours is None else hours.get(bson_bytes(document["_id"]), _quiet()),
                "last_failure": last.get(bson_bytes(document["_id"])),
            }
            for document in found
        ]
        return shown, id_text(found[-1]["_id"]) if has_more else None

    async def failures(self, *, is_uncertain: bool = False) -> list[Document]:
        """Return the newest failed executions, newest first, each with the steps that failed or are uncertain.

        ``is_uncertain``: only those with an uncertain step. Each is ``{id, workflow_id, workflow_name, entity_type,
        entity_id, completed_at, reason, steps: [{node, label, action_type, status, error}]}``.
        """
        wanted: Document = {"status": Status.FAILED}
        if is_uncertain:
            wanted["actions_executed.status"] = StepStatus.UNCERTAIN
        pipeline: list[Document] = [{"$match": wanted}, {"$sort": NEWEST}, {"$project": _FAILURE}]
        found, _ = await page_of(self._executions, pipeline, MOST_FAILURES)
        return [_failure(document) for document in found]

    async def _hours(self, page: str, workflow_ids: list[Any]) -> "Hours | None":
        now = self._now()
        counted_at, hours = self._counted.get(page, (None, None))
        if counted_at is None or now - counted_at > _COUNTED_FOR:
            hours = await self._count(now, workflow_ids)
            self._counted[page] = (now, hours)
            self._counted.move_to_end(page)
            if len(self._counted) > _MOST_COUNTED:
                self._counted.popitem(last=False)
        return hours

    async def _count(self, now: datetime, workflow_ids: list[Any]) -> "Hours | None":
        """Count by the ids, which begin with the time: the last day is one range of the index every collection has."""
        since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
        is_failed = {"$cond": [{"$eq": ["$status", Status.FAILED]}, 1, 0]}
        hour = {"$dateDiff": {"startDate": since, "endDate": {"$toDate": "$_id"}, "unit": "hour"}}
        pipeline: list[Document] = [
            {"$match": {"_id": {"$gte": ObjectId.from_datetime(since)}, "workflow_id": {"$in": workflow_ids}}},
            {
                "$group": {
                    "_id": {"workflow_id": "$workflow_id", "hour": hour},
                    "runs": {"$sum": 1},
                    "failed": {"$sum": is_failed},
                }
            },
        ]
        counts: Hours = {}
        try:
            async for group in await self._executions.aggregate(pipeline, maxTimeMS=_LONGEST_COUNT_MS):
                row = counts.setdefault(bson_bytes(group["_id"].get("workflow_id")), _quiet())
                if group["_id"]["hour"] < 0:  # an id made by hand may be of any time
                    continue
                place = row[min(group["_id"]["hour"], HOURS - 1)]
                place["runs"] += group["runs"]
                place["failed"] += group["failed"]
        except ExecutionTimeout:
            return None
        return counts


def _quiet() -> list[Document]:
    return [{"runs": 0, "failed": 0} for _ in range(HOURS)]


def _failure(document: Mapping[str, Any]) -> Document:
    records = document.get("actions_executed")
    steps = [
        {"node": str(place), **record, "label": label_of(record.get("node", place))}
        for place, record in enumerate(records if isinstance(records, list) else ())
        if isinstance(record, Mapping) and record.get("status") in (StepStatus.FAILED, StepStatus.UNCERTAIN)
    ]
    return {
        "id": document["_id"],
        "workflow_id": document.get("workflow_id"),
        "workflow_name": document.get("workflow_name"),
        "entity_type": document.get("triggered_by_entity_type"),
        "entity_id": document.get("triggered_by_entity_id"),
        "completed_at": document.get("completed_at"),
        "reason": document.get("reason"),
        "steps": steps,
    }
