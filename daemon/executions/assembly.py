"""Assemble the room that runs due executions to their recorded end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.corrupt import CorruptExecutions
from daemon.executions.demand import limits_of
from daemon.executions.due_queue import DueQueue
from daemon.executions.entity import EntityReader
from daemon.executions.executor import Executor
from daemon.executions.group_commit import GroupCommit
from daemon.executions.hand_edit import HandEdits
from daemon.executions.hand_over import HandOver
from daemon.executions.inspector import Inspector
from daemon.executions.intervention import Interventions
from daemon.executions.judge import Judge
from daemon.executions.lane_owner import LaneOwner
from daemon.executions.lanes import Lanes
from daemon.executions.loader import Loader
from daemon.executions.recorder import Recorder
from daemon.executions.runner import Runner
from daemon.executions.slot_queue import SlotQueue
from daemon.executions.slots import Slots
from daemon.executions.takeover import TakeOver
from daemon.executions.workflow_state import WorkflowStates
from daemon.foundation import Foundation
from daemon.lease.holds import Holds
from daemon.metrics import Activity
from daemon.poll import is_due_soon
from daemon.poller import Poller
from daemon.service import Ending, Group
from daemon.telemetry import emit
from daemon.versions.definition import Definitions

MEMORY_JOBS: Final = 10_000  # queued steps kept in memory


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts that run steps and record their ends."""

    lanes: Lanes
    states: WorkflowStates
    definitions: Definitions
    commit: GroupCommit
    recorder: Recorder
    runner: Runner
    slot_queue: SlotQueue
    judge: Judge
    executor: Executor


@dataclass(frozen=True, slots=True)
class ExecutionsRoom:
    """The interface of the room.

    ``services`` run on every replica for the lanes it owns, ``beside_reader`` where the stream is read.
    """

    run: _Run
    owner: LaneOwner
    hand_over: HandOver
    services: Group
    beside_reader: Group

    def activity(self, *, is_reader: bool) -> Activity:
        """Return what this replica does now."""
        run = self.run
        outside, running = run.runner.active, run.runner.active + run.recorder.in_flight
        return Activity(running, outside, run.slot_queue.waiting, len(run.lanes), len(run.lanes.owned), is_reader)

    def is_busy(self, now: datetime) -> bool:
        """Return whether a step waits for its commit or is due in a moment."""
        return self.run.recorder.in_flight > 0 or is_due_soon(self.run.lanes.next_due_at(), now)


def executions_room(base: Foundation, holds: Holds, is_told: Callable[[], bool]) -> ExecutionsRoom:
    """Return the room. ``is_told`` tells whether the loader is surely signalled when others queue something."""
    settings, database, pace, queue = base.settings, base.database, base.pace, base.signals.queue
    executions, clock = database[settings.collections.executions], base.clock
    run = _run(base, holds)
    lanes, definitions = run.lanes, run.definitions
    end_corrupt = CorruptExecutions(database, settings.collections, clock).end
    take_over = TakeOver(executions, definitions, run.recorder, lanes, end_corrupt, clock, pace)
    interventions = Interventions(database, settings.collections, clock.now)
    edits = HandEdits(executions, interventions, end_corrupt, lanes, queue=queue, pace=pace)
    inspector = Inspector(executions, definitions, end_corrupt, all_lanes=settings.lanes, pace=pace)
    due_queue = DueQueue(executions, run.states, take_over, end_corrupt, edits.note)
    loader = Loader(due_queue, lanes, run.slot_queue, clock, signals=base.signals, is_told=is_told, pace=pace)
    hand_over = HandOver(lanes, run.states, clock, base.metrics, base.signals)
    poller = partial(Poller, is_busy=base.is_busy)
    services = Group(
        Ending(partial(_store_results, run.commit, settings.lease_s)),
        Ending(base.services.renderer.stop),
        run.executor,
        poller("loader", loader.poll, signal=queue),
        poller("take-over", take_over.poll, first_s=pace.inspection_s),
        poller("queued by hand", edits.poll_queued_again, signal=edits.signal, first_s=pace.hand_edits_s),
    )
    beside_reader = Group(
        hand_over,
        poller("cancelled by hand", edits.poll_cancelled, first_s=pace.hand_edits_s),
        poller("inspector", inspector.poll, first_s=pace.inspection_s),
    )
    return ExecutionsRoom(run, LaneOwner(lanes, loader, run.executor, run.judge), hand_over, services, beside_reader)


def _run(base: Foundation, holds: Holds) -> _Run:
    settings, database, clock, due = base.settings, base.database, base.clock, base.signals.due
    names, entities = settings.collections, settings.entities
    lanes, states = Lanes(capacity=MEMORY_JOBS), WorkflowStates(database[names.versions])
    definitions = Definitions(database[names.versions], base.parse)
    commit = GroupCommit(database, names, entities, clock, may_start=holds.may_start)
    recorder = Recorder(commit, lanes, clock, base.metrics, on_settled=due.send, time_scale=settings.time_scale)
    slots = Slots(settings.concurrency, limits_of(settings.limits))
    queue = SlotQueue(slots, due.send)
    judge = Judge(lanes, definitions, states, recorder, clock, base.services, holds)
    grace = timedelta(seconds=settings.grace_s)
    runner = Runner(commit, recorder, lanes, clock, base.services, holds, queue, grace=grace)
    reader = EntityReader(database, entities, names.executions)
    executor = Executor(lanes, judge, reader, recorder, runner, queue, clock, due)
    return _Run(lanes, states, definitions, commit, recorder, runner, queue, judge, executor)


async def _store_results(commit: GroupCommit, lease_s: float) -> None:
    """Store what ended, for as long as the leases last; give up the rest."""
    try:
        async with asyncio.timeout(lease_s):
            await commit.drain()
    except TimeoutError:
        emit(Event.STORE_UNAVAILABLE, during="stop", error="results could not be stored in time")
    await commit.stop()
    if CRASH_AT is not None:
        reach(CrashPoint.BEFORE_HANDOVER)
