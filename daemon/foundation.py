"""The common parts of all rooms of one replica, and the signals that make their services poll."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from actions.services import Services
from config.settings import Settings
from daemon.clock import ServerClock
from daemon.metrics import Metrics
from daemon.pace import Pace
from daemon.poll import Signal
from rules.version import Parse


@dataclass(frozen=True, slots=True)
class Signals:
    """``due`` signals the executor that a step may start, ``queue`` the loader that executions may be queued.

    ``others`` signals the other replicas: there may be queued work, switches or free leases.
    """

    due: Signal = field(default_factory=Signal)
    queue: Signal = field(default_factory=Signal)
    others: Signal = field(default_factory=Signal)


@dataclass(frozen=True, slots=True)
class Foundation:
    """The parts that every room may use.

    ``look`` is called before workflow documents are read: see ``WorkflowIndex``. ``is_busy`` tells whether a step or a
    batch of changes is at work, or a step due in a moment: regular polls give way to that.
    """

    settings: Settings
    database: AsyncDatabase[dict[str, Any]]
    clock: ServerClock
    metrics: Metrics
    parse: Parse
    look: Callable[[], Awaitable[None]]
    services: Services
    pace: Pace
    is_busy: Callable[[], bool]
    signals: Signals = field(default_factory=Signals)
