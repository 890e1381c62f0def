"""Run due steps, each as one readable chain: switch, definition, entity, conditions, action, outcome, next step.

Steps are taken many at a time so that what they read is shared: one query per entity type, not per step. Actions
inside MongoDB return their writes, and the group commit makes them exactly once; those that reach outside go on in
OutsideRunner. Nothing starts once the lane's lease can no longer be trusted (promise 9). What was due when the owner
of its lane died is given an intent too, wherever it reaches: perhaps it killed the owner, and deaths are counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.errors import PyMongoError

from actions.action import Reach
from actions.outcome import Fail, Outcome, Skip
from actions.services import Services
from config.error import WorkflowError
from daemon.beat import is_set_within
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.attempt import Attempt, context_of, perform
from daemon.executions.definition import Definitions, pinned
from daemon.executions.entity import Entities, EntityReader
from daemon.executions.job import Job
from daemon.executions.lanes import Lanes
from daemon.executions.outside import OutsideRunner, is_suspect
from daemon.executions.recorder import ENTITY_GONE, Recorder
from daemon.executions.status import Status as ExecutionStatus
from daemon.executions.transition import end
from daemon.executions.workflow_state import WorkflowStates
from daemon.mongo.failure import may_pass
from daemon.mongo.refusal import problem_of
from daemon.service import Background
from daemon.slice import TimeSlice
from daemon.telemetry import emit
from rules.budget import TooCostly
from rules.condition import Subject
from rules.workflow import Status, Step, Workflow

TAKE: Final = 200  # steps taken at once
IN_FLIGHT: Final = 400  # units waiting for their commit at the most
Read = Callable[[Sequence[Job]], Awaitable[Entities]]  # of the entities of some jobs
_IDLE_S: Final = 60.0
_BACK_OFF_S: Final = 0.5


class Executor:
    """Takes due jobs from the lanes and runs their steps."""

    def __init__(
        self,
        lanes: Lanes,
        definitions: Definitions,
        entities: EntityReader,
        states: WorkflowStates,
        recorder: Recorder,
        outside: OutsideRunner,
        clock: ServerClock,
        services: Services,
        *,
        epoch_of: Callable[[int], int],
        may_start: Callable[[int], bool],
        on_room: Callable[[], None],
        on_death: Callable[[str], None],
    ) -> None:
        """``epoch_of`` and ``may_start`` speak of a lane's lease; ``on_room`` is called when jobs have ended."""
        self._lanes = lanes
        self._definitions = definitions
        self._entities = entities
        self._states = states
        self._recorder = recorder
        self._outside = outside
        self._clock = clock
        self._services = services
        self._epoch_of = epoch_of
        self._may_start = may_start
        self._on_room = on_room
        self._distrusted: dict[int, datetime] = {}  # lane: when its owner was found dead
        self._wake = asyncio.Event()
        self._heavy: asyncio.Queue[Job] = asyncio.Queue()  # taken, and bounded as what the lanes hold
        self._task = Background("executor", self._run, on_death)
        self._heavy_task = Background("executor of large entities", self._run_heavy, on_death)

    async def start(self) -> None:
        """Start taking due steps."""
        await self._outside.start()
        self._task.start()
        self._heavy_task.start()

    async def stop(self, grace: timedelta = timedelta(0)) -> None:
        """Take nothing new; give the steps in flight their grace."""
        await self._task.stop()
        await self._heavy_task.stop()
        await self._outside.stop(grace)

    def distrust(self, lane: int) -> None:
        """Run with care what is due in a lane by now: its last owner died."""
        self._distrusted[lane] = self._clock.now()

    def wake(self) -> None:
        """Look again: something may be due, or may start now."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            room = min(TAKE, IN_FLIGHT - self._recorder.in_flight)
            jobs = [*self._outside.next_waiting(), *self._lanes.take(self._clock.now(), room)] if room > 0 else []
            if jobs:
                await self._start_all(jobs)
                await asyncio.sleep(0)
            else:
                self._on_room()
                await self._wait()

    async def _wait(self) -> None:
        """Wait until the next job is due, or something changes."""
        due_at = self._lanes.next_due_at() if self._recorder.in_flight < IN_FLIGHT else None
        pause = _IDLE_S if due_at is None else self._clock.monotonic_at(due_at) - time.monotonic()
        if pause <= 0 and self._recorder.in_flight < IN_FLIGHT and due_at is not None and due_at <= self._clock.now():
            return
        await is_set_within(self._wake, min(max(pause, 0.0005), _IDLE_S))

    async def _start_all(self, jobs: Sequence[Job]) -> None:
        await self._start_with(jobs, self._light)

    async def _run_heavy(self) -> None:
        """Start what waits for a large entity, one at a time: nobody else waits while one is read."""
        while True:
            await self._start_with([await self._heavy.get()], self._whole)
            await asyncio.sleep(0)

    async def _light(self, jobs: Sequence[Job]) -> Entities:
        entities = await self._entities.read_light((job.entity_type, job.entity_id) for job in jobs)
        for job in jobs:
            if job.has_heavy_image and job.entity_key not in entities.found:
                entities.heavy[job.entity_key] = job.entity_type, job.entity_id
        return entities

    async def _whole(self, jobs: Sequence[Job]) -> Entities:
        entities = await self._entities.read_all((job.entity_type, job.entity_id) for job in jobs)
        for job in jobs:
            if job.has_heavy_image and job.entity_key not in entities.found:
                image = await self._entities.image(job.execution_id)
                if image is not None:
                    entities.found[job.entity_key] = image
        return entities

    async def _start_with(self, jobs: Sequence[Job], read: Read) -> None:
        """Start what may start, with its entity as ``read`` finds it; what it leaves out waits for its turn."""
        held = [job for job in jobs if self._admit(job)]
        try:
            ready = self._with_slots(await self._pinned(held))
            held = [job for job, _ in ready]
            entities = await read(held)
        except PyMongoError as error:
            for job in held:
                self._lanes.release(job, job)
            if not may_pass(error):
                raise
            emit(Event.STORE_UNAVAILABLE, during="read of entities", error=error)
            await asyncio.sleep(_BACK_OFF_S)
            return
        if CRASH_AT is not None:
            reach(CrashPoint.BEFORE_EFFECT)
        turn = TimeSlice()
        for job, workflow in ready:
            if job.entity_key in entities.heavy:
                self._heavy.put_nowait(job)
            elif not self._needs_intent(job, workflow) or self._with_slots([(job, workflow)]):  # two tasks take slots
                await self._step(job, workflow, entities.found.get(job.entity_key))
            await turn.give_way()

    def _admit(self, job: Job) -> bool:
        """Return whether the job may start; if not, it is cancelled, or left in MongoDB.

        What waits under a pause is taken out of the queue there by the reader's switcher, and put back by it.
        """
        state = self._states.get(job.workflow_id)
        if state.cancels(job.seq):
            self._recorder.submit(end(job, ExecutionStatus.CANCELLED, "stopped", self._clock.now()), job)
            return False
        if not self._may_start(job.lane):
            self._lanes.give_back(job)
            return False
        if state.status is Status.PAUSED:
            self._lanes.release(job)
            return False
        return True

    async def _pinned(self, jobs: Sequence[Job]) -> list[tuple[Job, Workflow]]:
        """Return the jobs with the workflow version they point to; end those that point to nothing."""
        unknown = [(job.workflow_id, job.workflow_version) for job in jobs if job.workflow is None]
        found = await self._definitions.load(unknown) if unknown else {}
        ready: list[tuple[Job, Workflow]] = []
        for job in jobs:
            workflow = job.workflow or found[pinned(job.workflow_id, job.workflow_version)]
            if isinstance(workflow, WorkflowError):
                self._lanes.set_aside(job)  # made by a newer daemon: left for a replica that knows how
            elif workflow is None or job.step >= len(workflow.steps):
                self._recorder.submit(end(job, ExecutionStatus.FAILED, "corrupt", self._clock.now()), job)
            else:
                job.workflow = workflow
                ready.append((job, workflow))
        return ready

    def _with_slots(self, jobs: Sequence[tuple[Job, Workflow]]) -> list[tuple[Job, Workflow]]:
        """Return the jobs that can run now; those that reach outside and find no free slot wait for one."""
        free, has_suspect = self._outside.free, self._outside.has_suspect
        ready: list[tuple[Job, Workflow]] = []
        for job, workflow in jobs:
            if self._needs_intent(job, workflow):
                if free <= 0 or (has_suspect and is_suspect(job)):
                    if not self._outside.wait(job):
                        self._lanes.make_polling()  # what comes after it must not overtake it
                        self._lanes.release(job)
                    continue
                free -= 1
                has_suspect |= is_suspect(job)
            ready.append((job, workflow))
        return ready

    def _needs_intent(self, job: Job, workflow: Workflow) -> bool:
        died_at = self._distrusted.get(job.lane)
        is_suspect = job.crashes > 0 or (died_at is not None and job.due_at <= died_at)
        return is_suspect or workflow.steps[job.step].action.reach is Reach.OUTSIDE

    async def _step(self, job: Job, workflow: Workflow, entity: Mapping[str, Any] | None) -> None:
        step = workflow.steps[job.step]
        now = self._clock.now()
        attempt = Attempt(job, job, workflow, step, self._epoch_of(job.lane), now)
        image = None if job.has_heavy_image else job.last_entity
        known = entity if entity is not None else image
        if known is None:
            self._recorder.record(attempt, Skip(ENTITY_GONE))
        elif (refused := _refused(step, Subject(known, now))) is not None:
            self._recorder.record(attempt, refused)
        elif self._needs_intent(job, workflow):
            await self._outside.run(attempt, known)
        else:
            context = context_of(attempt, known, now, self._services)
            self._recorder.record(attempt, await perform(attempt, context))


def _refused(step: Step, subject: Subject) -> Outcome | None:
    """Return how a step ends whose conditions are not met, None if they are.

    Whatever happens while they are judged is this step's own affair (promise 8).
    """
    try:
        is_met = step.conditions is None or step.conditions.judge(subject) is True
    except TooCostly as error:
        return Fail(str(error))  # not skipped: nobody knows whether it should have run
    except Exception as error:
        return Fail(f"conditions: {problem_of(error)}")
    return None if is_met else Skip("conditions_not_met")
