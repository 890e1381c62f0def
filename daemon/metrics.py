"""Counts of the daemon's own work, for the regular status line and the metrics."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Metrics:
    """Totals since the start of the process, each only ever growing, and the newest positions."""

    changes: int = 0  # changes of entities read from the stream
    executions: int = 0  # executions created
    refusals: int = 0  # candidates that did not run
    steps: int = 0  # steps recorded, whatever their outcome
    retries: int = 0
    postponements: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    last_change_at: datetime | None = None  # the server's time of the last change committed
    caught_up_at: datetime | None = None  # when the reader last had nothing more to read


@dataclass(frozen=True, slots=True)
class Activity:
    """What a replica does now.

    ``running``: steps at work or waiting for their commit, ``outside`` of them outside MongoDB, ``slot_queue``: steps
    that wait to begin there, ``jobs``: all steps in memory, ``lanes``: those owned.
    """

    running: int
    outside: int
    slot_queue: int
    jobs: int
    lanes: int
    is_reader: bool
