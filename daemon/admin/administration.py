"""Put together the functions for admins of one database; the API and the command line use them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Settings
from daemon.action_services import action_services
from daemon.admin.activity import Activity
from daemon.admin.backtest import Backtester
from daemon.admin.change_history import ChangeHistory
from daemon.admin.entity import EntityAdmin
from daemon.admin.execution import ExecutionAdmin
from daemon.admin.explanation import Explainer
from daemon.admin.hindsight import Hindsight
from daemon.admin.overview import Overview
from daemon.admin.run import RunAdmin
from daemon.admin.session_secret import EndedSessions, SessionSecret
from daemon.admin.timeline import Timeline
from daemon.admin.workflow import WorkflowAdmin
from daemon.executions.intervention import Interventions
from rules.version import Parse


@dataclass(frozen=True, slots=True)
class Administration:
    """The parts, each with one duty."""

    workflows: WorkflowAdmin
    executions: ExecutionAdmin
    runs: RunAdmin
    explainer: Explainer
    backtester: Backtester
    overview: Overview
    activity: Activity
    timeline: Timeline
    session_secret: SessionSecret
    ended_sessions: EndedSessions
    entity_types: tuple[str, ...]


def administration_of(
    database: AsyncDatabase[dict[str, Any]],
    settings: Settings,
    parse: Parse,
    now: Callable[[], datetime],
    unlimited_database: AsyncDatabase[dict[str, Any]] | None = None,
) -> Administration:
    """Return the administration of a database; ``now`` tells the server's time.

    ``unlimited_database``: the same database, by a client without a time limit for operations. Reading the change
    history needs that, because an operation on a change stream waits for changes up to the time limit.
    """
    names = settings.collections
    workflows = WorkflowAdmin(database, names, parse)
    entities = EntityAdmin(database, settings.entities)
    history = ChangeHistory(database if unlimited_database is None else unlimited_database, settings.entities)
    hindsight = Hindsight(database, names, history, parse, now, max_runs_per_hour=settings.max_runs_per_hour)
    executions = ExecutionAdmin(database, names, Interventions(database, names, now))
    return Administration(
        workflows,
        executions,
        RunAdmin(database, names, workflows, entities, action_services(settings, database), now),
        Explainer(database, names, workflows, entities, hindsight, now, max_runs_per_hour=settings.max_runs_per_hour),
        Backtester(database, names, settings.entities, workflows, history, now),
        Overview(database, names, now, lanes=settings.lanes),
        Activity(database, names, now),
        Timeline(database, names, executions),
        SessionSecret(database, names),
        EndedSessions(database, names),
        tuple(settings.entities),
    )
