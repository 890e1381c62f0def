"""Put the room together, from the change stream to the commit of executions."""

from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from daemon.executions.entity import EntityReader
from daemon.executions.intervention import Interventions
from daemon.foundation import Foundation
from daemon.mongo.codec import raw_collection
from daemon.stream.admission import Admission
from daemon.stream.bisection import Bisection
from daemon.stream.commit import Committer
from daemon.stream.current import CurrentReader
from daemon.stream.due import DueEntities
from daemon.stream.enroller import Enroller
from daemon.stream.first_start import FirstStart
from daemon.stream.follower import Follower
from daemon.stream.halt import Halt
from daemon.stream.immediate import Immediate
from daemon.stream.intake import Intake
from daemon.stream.late_request import LateRequests
from daemon.stream.manual import Manual
from daemon.stream.past import Past
from daemon.stream.placement import Placement
from daemon.stream.plan import Planner
from daemon.stream.reader import Reader
from daemon.stream.recovery import Recovery
from daemon.stream.rescan import Rescan
from daemon.stream.source import source_of
from daemon.stream.throttle import Throttle
from daemon.stream.trial import Trials
from daemon.stream.user import StreamUser
from daemon.versions.workflow_index import WorkflowIndex


@dataclass(frozen=True, slots=True)
class StreamRoom:
    """The parts that other rooms use: the service that reads, and the intake and index for sweeps."""

    reader: Reader
    intake: Intake
    index: WorkflowIndex


def stream_room(
    base: Foundation,
    reader_database: AsyncDatabase[dict[str, Any]],
    user: StreamUser,
) -> StreamRoom:
    """Return the room; ``reader_database`` has a client of its own: the open getMore occupies a connection."""
    settings, database, clock = base.settings, base.database, base.clock
    names = settings.collections
    versions, state = database[names.versions], database[names.state]
    index = WorkflowIndex(base.parse, base.look)
    trials = Trials(state, clock)
    intake = _intake(base, index, trials, user)
    source = source_of(reader_database, names, settings.entities)
    first_start = FirstStart(database, names, clock, base.parse)
    placement = Placement(source, versions, intake, clock, first_start)
    rescan = Rescan(database, names, settings.entities, index, intake, max_depth=settings.max_depth)
    late_requests = LateRequests(database, names, intake, clock)
    recovery = Recovery(state, intake, clock, first_start, rescan, late_requests, settings.history_lost_policy)
    follower = Follower(source, intake, placement, recovery, clock, base.metrics, base.pace, user)
    halt = Halt(state, clock, base.pace.halt_s)
    return StreamRoom(Reader(follower, intake, placement, trials, halt, base.metrics, user), intake, index)


def _intake(base: Foundation, index: WorkflowIndex, trials: Trials, user: StreamUser) -> Intake:
    settings, database, clock = base.settings, base.database, base.clock
    names, entities = settings.collections, settings.entities
    versions, executions = database[names.versions], database[names.executions]
    past = Past(versions, database[names.requests], base.parse)
    manual = Manual(index, list(entities))
    enroller = Enroller(
        index,
        Admission(database[names.enrollments], Throttle(executions, limit=settings.max_runs_per_hour)),
        Immediate(base.services),
        DueEntities(executions, user.has_nothing_queued),
        clock,
        lanes=settings.lanes,
        time_scale=settings.time_scale,
    )
    interventions = Interventions(database, names, clock.now)
    committer = Committer(database, names, interventions, index, clock, base.metrics, user)
    entity_reader = EntityReader(database, entities, names.executions)
    current = CurrentReader(entity_reader, raw_collection(database, names.workflows), manual, past)
    planner = Planner(index, manual, max_depth=settings.max_depth)
    bisection = Bisection(current, planner, enroller, committer, trials, clock)
    return Intake(versions, index, past, enroller, committer, bisection, clock, user)
