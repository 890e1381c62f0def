"""Run due steps: status, definition, entity, branches, conditions, action, outcome, next node.

Steps are taken many at a time so that what they read is shared: one query per entity type, not per step. Actions
inside MongoDB return their writes, and the group commit makes them exactly once. Those that reach outside wait in
SlotQueue, are judged when they have their slots, and go on in Runner. Nothing starts once the lane's lease can
no longer be trusted (promise 9). Steps that were due when the owner of their lane failed get an
intent too: one of them may have caused the failure, and crashes are counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from pymongo.errors import PyMongoError

from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.entity import Entities, EntityReader
from daemon.executions.job import Job
from daemon.executions.judge import Judge, refusal
from daemon.executions.lanes import Lanes
from daemon.executions.recorder import Recorder
from daemon.executions.runner import Runner
from daemon.executions.slot_queue import SlotQueue
from daemon.executions.slots import Key, Taken
from daemon.mongo.failure import may_pass
from daemon.poll import Signal
from daemon.service import Background
from daemon.slice import TimeSlice
from daemon.telemetry import emit
from rules.workflow import Workflow

TAKE: Final = 200  # steps taken at once
IN_FLIGHT: Final = 400  # units waiting for their commit at the most
_Read = Callable[[Sequence[Job]], Awaitable[Entities]]  # of the entities of some jobs
_Turn = tuple[Job, Workflow, Taken | None]  # a job that may start, with its slots if it needs an intent
_IDLE_S: Final = 60.0
_BACK_OFF_S: Final = 0.5


class Executor:
    """Takes due jobs from the lanes and runs their steps."""

    def __init__(
        self,
        lanes: Lanes,
        judge: Judge,
        entities: EntityReader,
        recorder: Recorder,
        runner: Runner,
        queue: SlotQueue,
        clock: ServerClock,
        signal: Signal,
    ) -> None:
        """``signal`` is sent when something may start."""
        self._lanes = lanes
        self._judge = judge
        self._entities = entities
        self._recorder = recorder
        self._runner = runner
        self._queue = queue
        self._clock = clock
        self._signal = signal
        self._heavy: asyncio.Queue[Job] = asyncio.Queue()  # taken, and bounded as what the lanes hold
        self._task = Background("executor", self._run)
        self._heavy_task = Background("executor of large entities", self._run_heavy)

    @property
    def tasks(self) -> Sequence[Background]:
        """One that takes what is due, one for those that need a large entity."""
        return self._task, self._heavy_task

    async def start(self) -> None:
        """Start taking due steps."""
        await self._runner.start()
        await self._task.start()
        await self._heavy_task.start()

    async def stop(self) -> None:
        """Take nothing new; give the steps in flight their grace."""
        await self._task.stop()
        await self._heavy_task.stop()
        self.drop()
        await self._runner.stop()

    def drop(self, lane: int | None = None) -> None:
        """Leave the steps of a lane, or of all, that wait for a slot to the lane's next owner."""
        for job in self._queue.drop(lane):
            self._lanes.release(job)

    async def _run(self) -> None:
        while True:
            self._signal.take()
            room = min(TAKE, IN_FLIGHT - self._recorder.in_flight)
            jobs = self._lanes.take(self._clock.now(), room) if room > 0 else []
            if jobs or (room > 0 and self._queue.has_turn(time.monotonic())):
                await self._start_all(jobs)
                await asyncio.sleep(0)
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait until the next job is due or may get a slot, or something changes."""
        pause = _IDLE_S
        if self._recorder.in_flight < IN_FLIGHT:
            due_at = self._lanes.next_due_at()
            pause = min(pause, self._queue.next_at - time.monotonic())
            if due_at is not None:
                pause = min(pause, self._clock.monotonic_at(due_at) - time.monotonic())
                if pause <= 0 and due_at <= self._clock.now():
                    return
        await self._signal.within(max(pause, 0.0005))

    async def _start_all(self, jobs: Sequence[Job]) -> None:
        """Start the jobs that need no slot, and all that get one now; the others wait for one."""
        admitted = [job for job in jobs if self._judge.admit(job)]
        try:
            defined = await self._judge.with_definition(admitted)
        except PyMongoError as error:
            await self._put_off([(job, None) for job in admitted], error)
            return
        turns: list[_Turn] = []
        for job, workflow in defined:
            if demand := self._judge.demand(job, workflow):
                self._enqueue(job, demand)
            else:
                turns.append((job, workflow, None))
        for job, taken in self._queue.next(time.monotonic()):
            if job.workflow is not None and self._judge.admit(job):
                turns.append((job, job.workflow, taken))
            else:
                self._free(taken)
        await self._start_with(turns, self._light)

    async def _run_heavy(self) -> None:
        """Start what waits for a large entity, one at a time: nobody else waits while one is read."""
        while True:
            await self._start_heavy(await self._heavy.get())
            await asyncio.sleep(0)

    async def _start_heavy(self, job: Job) -> None:
        workflow = job.workflow
        if workflow is None or not self._judge.admit(job):
            return
        demand = self._judge.demand(job, workflow)
        taken = self._queue.take(demand, time.monotonic()) if demand else None
        if demand and taken is None:
            self._enqueue(job, demand)
        else:
            await self._start_with([(job, workflow, taken)], self._whole)

    def _enqueue(self, job: Job, demand: tuple[Key, ...]) -> None:
        """Let a job wait for its slots; in MongoDB, where too many of its workflow wait here."""
        if not self._queue.put(job, demand):
            self._lanes.make_polling()  # what comes after it must not overtake it
            self._lanes.release(job)

    def _free(self, taken: Taken | None) -> None:
        """Give back the slots of a step that has not begun."""
        if taken is not None:
            self._queue.release(taken, has_begun=False)

    async def _put_off(self, turns: Sequence[tuple[Job, Taken | None]], error: PyMongoError) -> None:
        """Leave jobs in MongoDB for a while that could not be read whole; raise an error that will not pass."""
        for job, taken in turns:
            self._free(taken)
            self._lanes.release(job, job)
        if not may_pass(error):
            raise error
        emit(Event.STORE_UNAVAILABLE, during="read of entities", error=error)
        await asyncio.sleep(_BACK_OFF_S)

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

    async def _start_with(self, turns: Sequence[_Turn], read: _Read) -> None:
        """Start steps with their entities as ``read`` finds them; what it leaves out waits to be read by itself."""
        try:
            entities = await read([job for job, _, _ in turns])
        except PyMongoError as error:
            await self._put_off([(job, taken) for job, _, taken in turns], error)
            return
        if CRASH_AT is not None:
            reach(CrashPoint.BEFORE_EFFECT)
        turn = TimeSlice()
        for job, workflow, taken in turns:
            if job.entity_key in entities.heavy:
                self._free(taken)
                self._heavy.put_nowait(job)
            else:
                await self._step(job, workflow, entities.found.get(job.entity_key), taken)
            await turn.give_way()

    async def _step(
        self, queued: Job, workflow: Workflow, entity: Mapping[str, Any] | None, taken: Taken | None
    ) -> None:
        """Run the step that a job has come to, past the branches before it."""
        now = self._clock.now()
        known = entity if entity is not None else queued.image
        job = await self._judge.passed(queued, workflow, known, now)
        if job is not queued:  # its step stands behind a branch: nobody knew what it would need
            self._free(taken)
            taken = None
        attempt = self._judge.attempt(queued, job, workflow, now) if job is not None else None
        if job is None or attempt is None:
            return
        outcome = refusal(attempt.step, known, now)
        if outcome is not None:
            self._free(taken)
            self._recorder.record(attempt, outcome)
            return
        assert known is not None  # or it would have been refused
        demand = self._judge.demand(job, workflow) if job is not queued else ()
        if demand:
            taken = self._queue.take(demand, time.monotonic())
        if demand and taken is None:
            self._enqueue(queued, demand)
        else:
            await self._runner.run(attempt, known, taken)
