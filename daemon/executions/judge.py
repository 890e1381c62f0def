"""Judge due steps: a step starts, ends without acting, or stays in MongoDB.

The judge checks, in this order: the status of the workflow, the lease of the lane, the version of the execution, the
entity, the step's conditions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from actions.action import Reach
from actions.outcome import Fail, Outcome, Skip
from actions.services import Services
from config.error import WorkflowError
from daemon.clock import ServerClock
from daemon.executions.attempt import Attempt
from daemon.executions.demand import demand_of
from daemon.executions.job import Job
from daemon.executions.lanes import Lanes
from daemon.executions.machine import advance
from daemon.executions.occurrence import Corrupt, Reached, Stopped
from daemon.executions.recorder import ENTITY_GONE, Recorder
from daemon.executions.slots import Key
from daemon.executions.unit import passing_job, unit_of
from daemon.executions.way import way_of
from daemon.executions.workflow_state import WorkflowStates
from daemon.lease.holds import Holds
from daemon.mongo.refusal import problem_of
from daemon.slice import TimeSlice
from daemon.versions.definition import Definitions, pinned
from rules.budget import TooCostly
from rules.condition import Subject
from rules.program import NO_PROGRAM, Act, Branch
from rules.workflow import Step, Workflow, WorkflowStatus


class Judge:
    """Judges jobs that were taken from the lanes."""

    def __init__(
        self,
        lanes: Lanes,
        definitions: Definitions,
        states: WorkflowStates,
        recorder: Recorder,
        clock: ServerClock,
        services: Services,
        holds: Holds,
    ) -> None:
        self._lanes = lanes
        self._definitions = definitions
        self._states = states
        self._recorder = recorder
        self._clock = clock
        self._services = services
        self._holds = holds
        self._distrusted: dict[int, datetime] = {}  # lane: when its owner was found to have failed

    def distrust(self, lane: int) -> None:
        """Give an intent to every step that is due in a lane by now: its last owner failed, perhaps because of one."""
        self._distrusted[lane] = self._clock.now()

    def admit(self, job: Job) -> bool:
        """Return whether the job may start; if not, it is cancelled, or left in MongoDB.

        The switcher takes the executions of a paused workflow out of the queue, and puts them back.
        """
        state = self._states.get(job.workflow_id)
        if state.cancels(job.seq):
            self._end(job, Stopped())
            return False
        if not self._holds.may_start(job.lane):
            self._lanes.give_back(job)
            return False
        if state.status is WorkflowStatus.PAUSED:
            self._lanes.release(job)
            return False
        return True

    async def with_definition(self, jobs: Sequence[Job]) -> list[tuple[Job, Workflow]]:
        """Return the jobs with their workflow version; end those whose version does not exist."""
        unknown = [(job.workflow_id, job.workflow_version) for job in jobs if job.workflow is None]
        found = await self._definitions.load(unknown) if unknown else {}
        ready: list[tuple[Job, Workflow]] = []
        for job in jobs:
            workflow = job.workflow or found[pinned(job.workflow_id, job.workflow_version)]
            if isinstance(workflow, WorkflowError):
                self._lanes.set_aside(job)  # made by a newer daemon: left for a replica that knows how
            elif workflow is None or job.node not in workflow.program.nodes:
                self._end(job, Corrupt())
            else:
                job.workflow = workflow
                ready.append((job, workflow))
        return ready

    def demand(self, job: Job, workflow: Workflow) -> tuple[Key, ...]:
        """Return the keys of the slots that a job needs; none if its step needs no intent.

        A step needs both if it reaches outside, or if it may have caused the failure of its last owner.
        """
        died_at = self._distrusted.get(job.lane)
        is_suspect = job.crashes > 0 or (died_at is not None and job.due_at <= died_at)
        node = workflow.program.nodes[job.node]
        if isinstance(node, Act) and (is_suspect or node.step.action.reach is Reach.OUTSIDE):
            return demand_of(job, node.step, self._services)
        return ()

    def attempt(self, queued: Job, job: Job, workflow: Workflow, now: datetime) -> Attempt | None:
        """Return the attempt that begins now at the step of ``job``; None if its node is no step."""
        node = workflow.program.nodes[job.node]
        if not isinstance(node, Act):
            return None
        return Attempt(queued, job, workflow, node.step, self._holds.epoch_of(job.lane), now)

    async def passed(
        self, queued: Job, workflow: Workflow, entity: Mapping[str, Any] | None, now: datetime
    ) -> Job | None:
        """Return the job past the branches and ends at its node; None if the recorder must commit a move first.

        The record of a branch is committed together with the next move.
        """
        job, program, turn = queued, workflow.program, TimeSlice()
        while not isinstance(node := program.nodes[job.node], Act):
            occurrence = way_of(node, entity, now) if isinstance(node, Branch) else Reached()
            move = self._recorder.move(program, job, occurrence, now)
            if move.ended is not None or (move.due_at is not None and move.due_at > self._clock.now()):
                unit = unit_of(job, move, began_at=now)
                self._recorder.submit(unit, queued, lambda receipt: self._end(queued, Corrupt(receipt.error)))
                return None
            job = passing_job(job, move)
            await turn.give_way()
        return job

    def _end(self, job: Job, occurrence: Stopped | Corrupt) -> None:
        move = advance(NO_PROGRAM, job, occurrence, self._clock.now())
        self._recorder.submit(unit_of(job, move), job)


def refusal(step: Step, entity: Mapping[str, Any] | None, now: datetime) -> Outcome | None:
    """Return how a step ends that does not act: its entity is gone, or its conditions are not met. None if it acts.

    An error while they are judged fails this step alone (promise 8).
    """
    if entity is None:
        return Skip(ENTITY_GONE)
    try:
        is_met = step.conditions is None or step.conditions.judge(Subject(entity, now)) is True
    except TooCostly as error:
        return Fail(str(error))  # not skipped: nobody knows whether it should have run
    except Exception as error:
        return Fail(f"conditions: {problem_of(error)}")
    return None if is_met else Skip("conditions_not_met")
