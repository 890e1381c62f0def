"""Settle executions that a failed owner left running: at most once means uncertain, at least once means again.

The machine decides; every takeover counts as a crash of the step, whatever its retry policy.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from config.error import WorkflowError
from daemon.clock import ServerClock
from daemon.executions.attempt import Attempt
from daemon.executions.corrupt import EndCorrupt
from daemon.executions.job import PROJECTION, CorruptExecution, Job, job_from
from daemon.executions.lanes import Lanes
from daemon.executions.occurrence import Died
from daemon.executions.recorder import Recorder
from daemon.executions.status import Status
from daemon.pace import Pace
from daemon.poll import Pause, regular
from daemon.versions.definition import Definitions, pinned
from rules.program import Act


class TakeOver:
    """Finds and settles the running executions of lanes that are new here."""

    def __init__(
        self,
        executions: AsyncCollection[dict[str, Any]],
        definitions: Definitions,
        recorder: Recorder,
        lanes: Lanes,
        end_corrupt: EndCorrupt,
        clock: ServerClock,
        pace: Pace,
    ) -> None:
        self._executions = executions
        self._definitions = definitions
        self._recorder = recorder
        self._lanes = lanes
        self._end_corrupt = end_corrupt
        self._clock = clock
        self._pace = pace

    async def poll(self) -> Pause:
        """Settle the executions that say ``running`` in lanes owned here; raise the driver's error."""
        await self.settle(sorted(self._lanes.owned))
        return regular(self._pace.inspection_s, time.monotonic())

    async def settle(self, lanes: list[int]) -> None:
        """Settle the running executions of ``lanes`` that this replica does not run; raise the driver's error.

        Steps that this replica has run since before it lost and regained a lane end by themselves.
        """
        found = self._executions.find({"lane": {"$in": lanes}, "status": Status.RUNNING}, PROJECTION)
        documents = await found.to_list()
        ours = self._lanes.running  # by execution: a step in an arm was taken as the branch before it
        for document in documents:
            try:
                job = job_from(document, is_running=True)
            except CorruptExecution as error:
                await self._end_corrupt(document, str(error))
            else:
                if job.execution_id not in ours:
                    await self._settle(job, document)

    async def _settle(self, job: Job, document: Mapping[str, Any]) -> None:
        found = await self._definitions.load([(job.workflow_id, job.workflow_version)])
        workflow = found[pinned(job.workflow_id, job.workflow_version)]
        if isinstance(workflow, WorkflowError):
            return  # made by a newer daemon: left for a replica that knows how
        node = workflow.program.nodes.get(job.node) if workflow is not None else None
        if workflow is None or not isinstance(node, Act):
            await self._end_corrupt(document, "the workflow version it points to is gone, or has no such step")
            return
        job.workflow = workflow
        began_at = document.get("step_started_at")
        since = began_at if isinstance(began_at, datetime) else self._clock.now()
        self._recorder.record(Attempt(job, job, workflow, node.step, document["epoch"], since), Died())
