"""The one place that joins the rooms of one replica: from settings to services that start and stop.

Each room assembles itself, in its ``assembly.py``. Services start in the order of their group and stop in reverse.
Services beside the reader start when the stream is open and stop when the reader stops.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.asynchronous.mongo_client import AsyncMongoClient

from actions.registry import parse_action
from config.settings import Settings
from daemon.action_services import action_services
from daemon.api.assembly import api_server
from daemon.clock import ServerClock
from daemon.executions.assembly import executions_room
from daemon.executions.committed import Committed
from daemon.foundation import Foundation
from daemon.lease.assembly import lease_room
from daemon.lease.division import check_division
from daemon.lease.holds import Holds
from daemon.lease.store import READER
from daemon.metrics import Metrics
from daemon.mongo.repetition import repeatedly
from daemon.mongo.unwatched import Unwatched
from daemon.mongo.upkeep import Upkeep
from daemon.pace import AS_SHIPPED, Pace
from daemon.poller import Poller
from daemon.schedule.assembly import schedule_room
from daemon.service import Group
from daemon.status import StatusReporter
from daemon.stream.assembly import stream_room
from daemon.stream.reader_role import ReaderRole
from daemon.versions.parsing import parser_for
from daemon.versions.repair import mend_versions
from daemon.workflows.assembly import workflows_room
from rules.workflow import ParseAction

COMFORTABLE_JOBS: Final = 4_000  # from then on intake waits a moment for the executor


class Daemon:
    """All services of one replica."""

    def __init__(
        self,
        settings: Settings,
        client: AsyncMongoClient[dict[str, Any]],
        reader_client: AsyncMongoClient[dict[str, Any]],
        *,
        on_failure: Callable[[str], None],
        parse_action: ParseAction = parse_action,
        pace: Pace = AS_SHIPPED,
    ) -> None:
        """``on_failure`` is called with the name of a service that failed: the daemon cannot go on."""
        database = client[settings.database_name]
        self._unwatched = Unwatched(database, settings.entities)
        self.clock, self.metrics = ServerClock(database), Metrics()
        self._base = self._foundation(settings, database, parse_action, pace)
        holds = Holds()
        self._executions = executions_room(self._base, holds, self._is_told)
        self.lanes = self._executions.run.lanes
        self._workflows = workflows_room(self._base)
        self._stream = stream_room(self._base, reader_client[settings.database_name], self)
        self._scheduler, schedule = schedule_room(self._base, self._stream, self._executions.run.definitions)
        self._upkeep = Upkeep(database, settings, pace)
        self.beside_reader = Group(
            self._executions.beside_reader, self._workflows.beside_reader, schedule, self._upkeep_group()
        )
        self.reader_role = ReaderRole(self._stream.reader)
        users = self._executions.owner, self.reader_role
        self._announcements, self._leases = lease_room(self._base, holds, users, self._sessions)
        status = self._status_reporter()
        self._api = api_server(self._base, status)
        self.services = Group(
            self._announcements,
            self._leases,
            self._executions.services,
            self._stream.reader,
            Poller("status", status.poll, begin=status.begin),
            self._api,
        )
        for task in (*self.services.tasks, *self.beside_reader.tasks):
            task.watch(on_failure)

    def _foundation(
        self, settings: Settings, database: AsyncDatabase[dict[str, Any]], parse_action: ParseAction, pace: Pace
    ) -> Foundation:
        return Foundation(
            settings,
            database,
            self.clock,
            self.metrics,
            parser_for(settings, parse_action, self._unwatched.types),
            self._unwatched.look,
            action_services(settings, database),
            pace,
            self._is_busy,
        )

    def _upkeep_group(self) -> Group:
        """Return what puts back what is dropped; nothing where the settings say to leave the database alone."""
        pause_s, upkeep = self._base.pace.upkeep_s, self._upkeep
        poller = Poller("upkeep", upkeep.poll, signal=upkeep.signal, first_s=pause_s, retry_s=pause_s)
        return Group(*([poller] if self._base.settings.init_on_start else []))

    def _status_reporter(self) -> StatusReporter:
        settings = self._base.settings
        return StatusReporter(
            self._base.database[settings.collections.executions],
            self.clock,
            self.metrics,
            interval_s=settings.status_interval_s,
            all_lanes=settings.lanes,
            activity=lambda: self._executions.activity(is_reader=self.is_reading),
        )

    async def start(self) -> None:
        """Return once this replica takes part; raise the driver's error if the database does not answer."""
        settings, database = self._base.settings, self._base.database
        state, executions = database[settings.collections.state], database[settings.collections.executions]
        await repeatedly(self.clock.sample)
        await repeatedly(lambda: check_division(state, executions, settings.lanes))
        await repeatedly(lambda: mend_versions(database, settings.collections))
        await repeatedly(self._executions.run.states.refresh)
        await repeatedly(self._unwatched.look)
        await self.services.start()

    async def stop(self) -> None:
        """Let running steps end within the grace, leave the rest to other replicas, give up the leases."""
        await self.services.stop()

    @property
    def is_reading(self) -> bool:
        """Whether this replica has the stream open, as the gauge ``is_reader`` says."""
        return self._stream.reader.is_reading

    @property
    def halted(self) -> str | None:
        """Why the reader has halted, as ``/readyz`` says; None while it has not."""
        return self._stream.reader.halted

    @property
    def api_address(self) -> tuple[str, int] | None:
        """Where the HTTP API listens, None while it does not."""
        return self._api.address

    def _is_told(self) -> bool:
        """Return whether the loader is signalled when something is queued: by the reader here, or from elsewhere."""
        return self.is_reading or self._announcements.is_heard

    def _is_busy(self) -> bool:
        return self._executions.is_busy(self.clock.now()) or self._stream.intake.lock.locked()

    def _sessions(self) -> Sequence[Mapping[str, Any]]:
        commit = self._executions.run.commit
        return [self._stream.intake.transactions.session_id, commit.transactions.session_id, self._workflows.session]

    # The methods of StreamUser, which the reader calls.

    async def reading_began(self) -> None:
        """Start what runs beside the reader."""
        await self.beside_reader.start()

    async def reading_ended(self) -> None:
        """Stop what runs beside the reader."""
        await self.beside_reader.stop()

    def committed(self, committed: Committed) -> None:
        """Pass a commit of the reader on to the rooms that continue."""
        self._workflows.take(committed)
        if committed.versions:
            self._scheduler.note(version.workflow_id for version in committed.versions)
        self._executions.hand_over.take(committed)

    def replayed(self) -> None:
        """Take up schedules again."""
        self._scheduler.reload()

    def collections_changed(self) -> None:
        """Restore dropped collections and indexes."""
        self._upkeep.signal.send()

    def reader_halted(self, pause_s: float) -> None:
        """Give the reader's lease to others for a while."""
        self._leases.give_up(READER, pause_s)

    def has_room(self) -> bool:
        """Return whether the executor keeps up with what is committed."""
        return len(self.lanes) < COMFORTABLE_JOBS

    def has_nothing_queued(self) -> bool:
        """Return whether nothing at all is queued: all lanes are owned here, and empty."""
        return self.lanes.is_empty(self._base.settings.lanes)
