"""End executions that no poll of the queue would ever find, and those that can never run.

The inspector polls every few seconds, on the replica that reads. It finds executions whose ``due_at`` is missing or is
no date, and those whose lane does not exist, by indexes that hold next to nothing. It also reads the executions that
wait, some at each poll, so that an execution which can never run ends long before its time. A person may need several
writes to edit a document: an incomplete one is given time.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bson import DatetimeMS
from pymongo.asynchronous.collection import AsyncCollection

from config.error import WorkflowError
from config.found import found
from daemon.executions.corrupt import EndCorrupt
from daemon.executions.job import PROJECTION, CorruptExecution, job_from
from daemon.mongo.indexes import NOT_A_DATE, UNQUEUED
from daemon.pace import Pace
from daemon.poll import Pause, regular
from daemon.versions.definition import Definitions, pinned

_PAGE: Final = 100
_RECORDS: Final = {"$cond": [{"$isArray": ["$actions_executed"]}, {"$size": "$actions_executed"}, 0]}


class Inspector:
    """Ends executions that can never become due, or can never run."""

    def __init__(
        self,
        executions: AsyncCollection[dict[str, Any]],
        definitions: Definitions,
        end_corrupt: EndCorrupt,
        *,
        all_lanes: int,
        pace: Pace,
    ) -> None:
        """``all_lanes``: how many lanes there are, here and elsewhere."""
        self._executions = executions
        self._definitions = definitions
        self._end_corrupt = end_corrupt
        self._all_lanes = list(range(all_lanes))
        self._pace = pace
        self._incomplete: dict[Any, float] = {}  # execution: monotonic time in seconds when it was first found
        self._read_until: Any = None  # what is due until then was read through; None to begin anew

    async def poll(self) -> Pause:
        """End executions whose due time is no date at once, and the others after some time for mending.

        Raise the driver's error.
        """
        misqueued, lost = await self._unreachable()
        for document in misqueued:
            await self._end_corrupt(document, f"due_at: expected a date, found {found(document['due_at'])}")
        met: dict[Any, float] = {}
        for document, problem in [*lost, *await self._unrunnable()]:
            since = met[document["_id"]] = self._incomplete.get(document["_id"], time.monotonic())
            if time.monotonic() - since >= self._pace.incomplete_s:
                await self._end_corrupt(document, problem)
        self._incomplete = met
        return regular(self._pace.inspection_s, time.monotonic())

    async def _unreachable(self) -> tuple[list[Mapping[str, Any]], list[tuple[Mapping[str, Any], str]]]:
        """Return some of what is due at something that is no date, and of what else no poll finds, with the reason.

        That is what is queued without a time or in no lane that exists. One round trip for all.
        """
        in_no_lane = {"due_at": {"$type": "date"}, "lane": {"$nin": self._all_lanes}}
        query = {"$or": [{"due_at": {"$type": NOT_A_DATE}}, UNQUEUED, in_no_lane]}
        expected = f"expected a date and a lane below {len(self._all_lanes)}"
        misqueued: list[Mapping[str, Any]] = []
        lost: list[tuple[Mapping[str, Any], str]] = []
        for each in await self._executions.find(query, {"lane": 1, "due_at": 1}).limit(_PAGE).to_list():
            due_at = each.get("due_at")
            if "due_at" in each and not isinstance(due_at, datetime | DatetimeMS):
                misqueued.append(each)
            else:
                lost.append((each, f"{expected}; due_at: {found(due_at)}, lane: {found(each.get('lane'))}"))
        return misqueued, lost

    async def _unrunnable(self) -> list[tuple[Mapping[str, Any], str]]:
        """Return what can never run of the next page of what waits, and of what was met before; with what is wrong."""
        wanted = {**PROJECTION, "records": _RECORDS}
        met = list(self._incomplete)
        page = await self._executions.find({"_id": {"$in": met}}, wanted).to_list() if met else []
        due: dict[str, Any] = {"$type": "date"}
        if self._read_until is not None:
            due["$gt"] = self._read_until
        queued = self._executions.find({"lane": {"$in": self._all_lanes}, "due_at": due}, wanted)
        waiting = await queued.sort([("due_at", 1), ("seq", 1)]).limit(self._pace.inspected).to_list()
        self._read_until = waiting[-1]["due_at"] if len(waiting) == self._pace.inspected else None
        documents = [document for document in (*page, *waiting) if "due_at" in document]
        problems = [(document, await self._problem(document)) for document in documents]
        return [(document, problem) for document, problem in problems if problem]

    async def _problem(self, document: Mapping[str, Any]) -> str:
        """Return why a queued execution can never run, nothing if it may."""
        try:
            job = job_from(document)
        except CorruptExecution as error:
            return str(error)
        if job.node == str(job.step) and job.step <= document["records"]:
            return ""  # as the daemon writes it: no need to look the workflow up
        definitions = await self._definitions.load([(job.workflow_id, job.workflow_version)])
        workflow = definitions[pinned(job.workflow_id, job.workflow_version)]
        if isinstance(workflow, WorkflowError) or (workflow is not None and job.node in workflow.program.nodes):
            return ""
        return f"at: expected a node that its workflow has, found {job.node}"
