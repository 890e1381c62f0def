"""Read the due executions of the lanes owned here from MongoDB, as jobs.

Executions edited by hand are left to HandEdits, and corrupt ones are ended: neither becomes a job.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from daemon.executions.corrupt import EndCorrupt
from daemon.executions.fair_share import FairShare
from daemon.executions.hand_edit import NOT_EDITED
from daemon.executions.intervention import is_edited
from daemon.executions.job import PROJECTION, CorruptExecution, Job, job_from
from daemon.executions.takeover import TakeOver
from daemon.executions.workflow_state import WorkflowStates
from daemon.slice import TimeSlice
from rules.identity import bson_bytes

PAGE: Final = 1_000


class DueQueue:
    """The queue of executions in MongoDB. Every method raises the driver's error if there is no answer."""

    def __init__(
        self,
        executions: AsyncCollection[dict[str, Any]],
        states: WorkflowStates,
        take_over: TakeOver,
        end_corrupt: EndCorrupt,
        on_edited: Callable[[Any], None],
    ) -> None:
        """``on_edited`` is given the id of an execution that somebody edited by hand."""
        self._executions = executions
        self._fair_share = FairShare(executions)
        self._states = states
        self._take_over = take_over
        self._end_corrupt = end_corrupt
        self._on_edited = on_edited

    async def take_over(self, lanes: Sequence[int]) -> None:
        """Settle the executions that the former owner of ``lanes`` left running, before others of them are read."""
        await self._take_over.settle(list(lanes))

    async def refresh(self) -> None:
        """Read the switches that another reader has committed."""
        await self._states.refresh()

    async def find(
        self, lanes: Sequence[int], due: tuple[datetime | None, datetime], limit: int, left_out: Sequence[Any]
    ) -> tuple[list[Job], int]:
        """Return the jobs due after the first and until the second of ``due``, and how many documents were found.

        At most ``limit``, in order, without the workflows ``left_out``.
        """
        since, until = due
        within: dict[str, Any] = {"$lte": until, "$type": "date"}
        if since is not None:
            within["$gt"] = since
        queued: dict[str, Any] = {"lane": {"$in": list(lanes)}, "due_at": within, **NOT_EDITED}
        if left_out:
            queued["workflow_id"] = {"$nin": list(left_out)}
        found = self._executions.find(queued, PROJECTION).sort([("due_at", 1), ("seq", 1)]).limit(limit)
        turn = TimeSlice()
        documents = await found.batch_size(PAGE).to_list()
        return await self._jobs(documents, turn), len(documents)

    async def find_others(self, lanes: Sequence[int], jobs: Sequence[Job], until: datetime) -> list[Job]:
        """Return jobs of workflows that are not among ``jobs``, the head of a queue that does not fit into memory."""
        loaded = {bson_bytes(job.workflow_id) for job in jobs}
        turn = TimeSlice()
        return await self._jobs(await self._fair_share.find(self._states.going, loaded, lanes, until), turn)

    async def _jobs(self, documents: Sequence[Mapping[str, Any]], turn: TimeSlice) -> list[Job]:
        """Return the jobs of ``documents``; ``turn`` began before the driver decoded them."""
        jobs: list[Job] = []
        for document in documents:
            await turn.give_way()
            if is_edited(document):
                self._on_edited(document["_id"])
                continue
            try:
                job = job_from(document)
            except CorruptExecution as error:
                await self._end_corrupt(document, str(error))
            else:
                jobs.append(job)
        return jobs
