"""The one place that constructs and wires: from settings to the services of one replica.

Services start in the order in which they need each other and stop in reverse. The reader role and the lanes come
and go with their leases.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from pymongo.asynchronous.mongo_client import AsyncMongoClient

from actions.registry import parse_action
from config.settings import Settings
from daemon.action_services import action_services
from daemon.announcement import Announcements
from daemon.api.assembly import api_server
from daemon.beat import Beat, is_due_soon
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.burial import Burial
from daemon.executions.definition import Definitions
from daemon.executions.demand import limits_of
from daemon.executions.entity import EntityReader
from daemon.executions.executor import Executor
from daemon.executions.group_commit import GroupCommit
from daemon.executions.hand_edit import HandEdits
from daemon.executions.inspector import Inspector
from daemon.executions.intervention import Interventions
from daemon.executions.judge import Judge
from daemon.executions.lanes import AHEAD, Lanes
from daemon.executions.loader import Loader
from daemon.executions.outside import OutsideRunner
from daemon.executions.recorder import Recorder
from daemon.executions.slot_queue import SlotQueue
from daemon.executions.slots import Slots
from daemon.executions.takeover import TakeOver
from daemon.executions.workflow_state import WorkflowStates
from daemon.lease.division import check_division
from daemon.lease.keeper import LeaseKeeper
from daemon.lease.store import READER, lane_name, lane_of_name
from daemon.metrics import Metrics
from daemon.mongo.patience import patiently
from daemon.mongo.unwatched import Unwatched
from daemon.mongo.upkeep import Upkeep
from daemon.pace import AS_SHIPPED, Pace
from daemon.schedule.scheduler import Scheduler
from daemon.schedule.sweep import Sweep
from daemon.status import StatusReporter
from daemon.stream.assembly import Foundation, stream_room
from daemon.stream.user import Committed
from daemon.telemetry import emit, is_logged
from daemon.workflows.edit_log import log_edits
from daemon.workflows.mending import mend_versions
from daemon.workflows.observer import Observer
from daemon.workflows.parsing import parser_for
from daemon.workflows.retention import Retention
from daemon.workflows.switcher import Switcher
from rules.workflow import ParseAction

MEMORY_JOBS: Final = 10_000  # queued steps kept in memory
COMFORTABLE_JOBS: Final = 4_000  # from then on intake waits a moment for the executor


class Daemon:
    """All services of one replica."""

    def __init__(
        self,
        settings: Settings,
        client: AsyncMongoClient[dict[str, Any]],
        reader_client: AsyncMongoClient[dict[str, Any]],
        *,
        on_death: Any,
        parse_action: ParseAction = parse_action,
        pace: Pace = AS_SHIPPED,
    ) -> None:
        """``on_death`` is called with the name of a service that died: the daemon cannot go on."""
        self._settings = settings
        names, entities = settings.collections, settings.entities
        database = client[settings.database_name]
        executions, versions, state = database[names.executions], database[names.versions], database[names.state]
        self._check_division = partial(check_division, state, executions, settings.lanes)
        self._mend_versions = partial(mend_versions, database, names)
        self._unwatched = Unwatched(database, entities)
        parse = parser_for(settings, parse_action, self._unwatched.types)
        self._grace = timedelta(seconds=settings.grace_s)
        self.clock = ServerClock(database)
        self.metrics = Metrics()
        services = action_services(settings, database)
        self._renderer = services.renderer
        beat = Beat(self._is_busy)

        self.lanes = Lanes(capacity=MEMORY_JOBS)
        self._states = WorkflowStates(versions)
        definitions = Definitions(versions, parse)
        entity_reader = EntityReader(database, entities, names.executions)
        self._commit = GroupCommit(database, names, entities, self.clock, may_start=self._may_start)
        self._recorder = Recorder(
            self._commit,
            self.lanes,
            self.clock,
            self.metrics,
            on_settled=self._settled,
            time_scale=settings.time_scale,
        )
        slots = Slots(settings.concurrency, limits_of(settings.limits))
        self._slot_queue = SlotQueue(slots)
        self._outside = OutsideRunner(
            self._commit,
            self._recorder,
            self.lanes,
            self.clock,
            services,
            slots,
            may_start=self._may_start,
            on_free=self._settled,
        )
        self._judge = Judge(
            self.lanes, definitions, self._states, self._recorder, self.clock, may_start=self._may_start
        )
        self._executor = Executor(
            self.lanes,
            self._judge,
            entity_reader,
            self._recorder,
            self._outside,
            slots,
            self._slot_queue,
            self.clock,
            services,
            epoch_of=self._epoch_of,
            on_room=self._has_room_again,
            on_death=on_death,
        )
        burial = Burial(database, names, self.clock)
        take_over = TakeOver(executions, definitions, self._recorder, self.lanes, burial.bury, self.clock)
        self._inspector = Inspector(
            executions,
            self.lanes,
            take_over,
            definitions,
            burial.bury,
            all_lanes=settings.lanes,
            beat=beat,
            is_reader=self._is_reader,
            on_death=on_death,
            pace=pace,
        )
        interventions = Interventions(database, names, self.clock.now)
        self._hand_edits = HandEdits(
            executions,
            interventions,
            burial.bury,
            beat=beat,
            owned=lambda: self.lanes.owned,
            is_reader=self._is_reader,
            on_settled=self._edited,
            on_death=on_death,
            pace=pace,
        )
        self._loader = Loader(
            executions,
            self.lanes,
            take_over,
            self._states,
            burial.bury,
            self.clock,
            state,
            beat=beat,
            is_reader=self._is_reader,
            is_told=self._is_told,
            on_edited=self._hand_edits.note,
            waiting=lambda: self._slot_queue.waiting,
            saturated=lambda: self._slot_queue.saturated,
            on_loaded=self._executor.wake,
            on_death=on_death,
            pace=pace,
        )

        base = Foundation(settings, database, self.clock, self.metrics, parse, self._unwatched.look, services, pace)
        stream = stream_room(base, reader_client[settings.database_name], self, on_death)
        self._reader, self._intake = stream.reader, stream.intake
        self._observer = Observer(
            database,
            names,
            self.clock,
            self.metrics,
            lanes=settings.lanes,
            beat=beat,
            is_reader=self._is_reader,
            on_death=on_death,
        )
        self._switcher = Switcher(
            database,
            names,
            self.clock,
            self.metrics,
            lanes=settings.lanes,
            is_reader=self._is_reader,
            on_applied=self._switched,
            on_death=on_death,
        )
        self._scheduler = Scheduler(
            database,
            names,
            stream.index,
            Sweep(database, names, entities, stream.intake, stream.index, pace),
            definitions.one,
            self.clock,
            grace=timedelta(hours=settings.schedule_grace_hours),
            is_reader=lambda: self._is_reader() and not stream.intake.is_replaying,
            on_death=on_death,
        )
        self._status = StatusReporter(
            executions,
            self.clock,
            self.metrics,
            interval_s=settings.status_interval_s,
            all_lanes=settings.lanes,
            running=lambda: self._outside.active + self._recorder.in_flight,
            lanes=lambda: len(self.lanes.owned),
            is_reader=self._is_reader,
            on_death=on_death,
        )
        self._retention = Retention(
            database, settings, self.clock, is_reader=self._is_reader, on_death=on_death, pace=pace
        )
        self._upkeep = Upkeep(database, settings, is_reader=self._is_reader, on_death=on_death, pace=pace)
        self._api = api_server(
            settings,
            database,
            parse,
            self.clock,
            self.metrics,
            lag_s=self._status.lag_s,
            gauges=self._gauges,
            on_death=on_death,
        )
        self._announcements = Announcements(
            database,
            names.announcements,
            settings.replica_name,
            on_heard=self._told,
            on_death=on_death,
        )
        self._leases = LeaseKeeper(
            state,
            settings.replica_name,
            lanes=settings.lanes,
            lease_s=settings.lease_s,
            users=(self,),
            on_death=on_death,
            sessions=lambda: [each.transactions.session_id for each in (stream.intake, self._commit, self._switcher)],
            is_told=self._is_told,
            on_freed=self._announcements.tell,
        )

    async def start(self) -> None:
        """Return once this replica takes part; raise the driver's error if the database does not answer."""
        await patiently(self.clock.sample)
        await patiently(self._check_division)
        await patiently(self._mend_versions)
        await patiently(self._states.refresh)
        await patiently(self._unwatched.look)
        for service in (
            self._api,
            self._executor,
            self._loader,
            self._reader,
            self._observer,
            self._switcher,
            self._scheduler,
            self._hand_edits,
            self._inspector,
            self._upkeep,
            self._retention,
            self._status,
            self._announcements,
            self._leases,
        ):
            await service.start()

    async def stop(self) -> None:
        """Let steps in flight end within the grace, hand the rest over, give up the leases."""
        for service in (
            self._api,
            self._status,
            self._upkeep,
            self._retention,
            self._hand_edits,
            self._inspector,
            self._scheduler,
            self._switcher,
            self._observer,
            self._reader,
            self._loader,
        ):
            await service.stop()
        await self._executor.stop(self._grace)
        await self._renderer.stop()
        try:
            async with asyncio.timeout(self._settings.lease_s):
                await self._commit.drain()
        except TimeoutError:
            emit(Event.STORE_UNAVAILABLE, during="stop", error="results could not be stored in time")
        await self._commit.stop()
        if CRASH_AT is not None:
            reach(CrashPoint.BEFORE_HANDOVER)
        await self._leases.stop()
        await self._announcements.stop()

    @property
    def is_reading(self) -> bool:
        """Whether this replica has the stream open, as the gauge ``is_reader`` says."""
        return self._reader.is_reading

    @property
    def halted(self) -> str | None:
        """Why the reader has halted, as ``/readyz`` says; None while it has not."""
        return self._reader.halted

    @property
    def api_address(self) -> tuple[str, int] | None:
        """Where the HTTP API listens, None while it does not."""
        return self._api.address

    # What the keeper of leases tells.

    def lease_gained(self, name: str, epoch: int, *, after_crash: bool) -> None:
        """Take up what comes with a lease; with care where its last holder may have died of it."""
        if name == READER:
            self._reader.allow(epoch, after_crash=after_crash)
            return
        if after_crash:
            self._judge.distrust(lane_of_name(name))
        self.lanes.open(lane_of_name(name))
        self._loader.add_lane(lane_of_name(name))

    def lease_lost(self, name: str) -> None:
        """Drop what went with a lease."""
        if name == READER:
            self._reader.forbid()
            self.lanes.make_polling()
            self._loader.nudge()
            return
        self.lanes.close(lane_of_name(name))
        self._executor.drop(lane_of_name(name))

    def lease_retiring(self, name: str) -> None:
        """Start nothing new under a lease that will be given up."""
        if name != READER:
            self.lanes.retire(lane_of_name(name))
            self._executor.drop(lane_of_name(name))

    def is_idle(self, name: str) -> bool:
        """Return whether nothing runs under a lease any more."""
        return name == READER or self.lanes.is_idle(lane_of_name(name))

    # What the services tell one another.

    def _is_reader(self) -> bool:
        return self._reader.is_reading

    def _is_told(self) -> bool:
        return self._announcements.is_heard

    def _told(self) -> None:
        """Look: another replica has queued work, switched a workflow or given up leases."""
        self._loader.hear()
        self._leases.hear()

    def _is_busy(self) -> bool:
        """Return whether a step or a batch of changes is at work, or a step due in a moment."""
        is_due = is_due_soon(self.lanes.next_due_at(), self.clock.now())
        return is_due or self._recorder.in_flight > 0 or self._intake.lock.locked()

    def _epoch_of(self, lane: int) -> int:
        return self._leases.epoch(lane_name(lane))

    def _may_start(self, lane: int) -> bool:
        return self._leases.is_trusted(lane_name(lane))

    def _settled(self) -> None:
        self._executor.wake()

    def _gauges(self) -> Mapping[str, tuple[str, float | None]]:
        return {
            "stream_lag_seconds": ("How far behind the stream this replica reads.", self._status.lag_s()),
            "is_reader": ("Whether this replica reads the stream.", float(self._is_reader())),
            "lanes": ("Lanes this replica owns.", float(len(self.lanes.owned))),
            "jobs": ("Steps kept in memory.", float(len(self.lanes))),
            "outside": ("Actions at work outside MongoDB.", float(self._outside.active)),
            "slot_queue": ("Steps that wait in memory to begin outside MongoDB.", float(self._slot_queue.waiting)),
        }

    def _edited(self) -> None:
        self._loader.nudge()

    def _has_room_again(self) -> None:
        self._loader.nudge_if_behind()

    def committed(self, committed: Committed) -> None:
        """Pass on what the reader committed: switches first, then work."""
        if committed.rewritten:
            self._observer.note(committed.rewritten, at_once=False)
        if committed.heads:
            self._states.put(list(committed.heads), committed.commit)
            self._observer.note(head.workflow_id for head in committed.heads)
            self._switcher.nudge()
            self._scheduler.note(head.workflow_id for head in committed.heads)
            log_edits(committed.edits)
        if is_logged(Event.EXECUTION_CREATED):
            for job in (*committed.ended, *committed.jobs):
                emit(Event.EXECUTION_CREATED, **job.names)
        for job in committed.ended:
            emit(Event.EXECUTION_COMPLETED, **job.names)
        self.metrics.completed += len(committed.ended)
        programs = (job.workflow.program for job in committed.ended if job.workflow is not None)
        self.metrics.steps += sum(len(program.nodes) for program in programs)
        until = self.clock.now() + AHEAD
        soon = [job for job in committed.jobs if job.due_at <= until]
        if committed.heads or not self.lanes.owned.issuperset(job.lane for job in soon):
            self._announcements.tell()
        self.lanes.hand_over(soon)
        self._executor.wake()

    def reader_started(self) -> None:
        """Take up what only the replica does that reads, and have the queue looked at."""
        self._loader.nudge()
        self._observer.reconcile()
        self._switcher.nudge()
        self._scheduler.reload()

    def replayed(self) -> None:
        """Take up schedules again."""
        self._scheduler.reload()

    def reader_halted(self, pause_s: float) -> None:
        """Give the reader's lease to others for a while."""
        self._leases.give_up(READER, pause_s)

    def _switched(self, workflow_id: Any) -> None:
        self._observer.note([workflow_id])
        self._loader.nudge()
        self._announcements.tell()

    def collections_changed(self) -> None:
        """Put back what was dropped of ours."""
        self._upkeep.nudge()

    def has_room(self) -> bool:
        """Return whether the executor keeps up with what is committed."""
        return len(self.lanes) < COMFORTABLE_JOBS

    def has_nothing_queued(self) -> bool:
        """Return whether nothing at all is queued: all lanes are owned here, and empty."""
        return self.lanes.is_empty(self._settings.lanes)
