"""Values of the machine: the state of an execution before a move, and the move."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from daemon.executions.ran import Ran, Record
from daemon.executions.status import ENDED, Status, StepStatus


class State(Protocol):
    """The parts of an execution's state that decide its next move."""

    @property
    def node(self) -> str:
        """The node it is at."""

    @property
    def status(self) -> Status:
        """Its status."""

    @property
    def attempt(self) -> int:
        """How many attempts its node has had; a running one counts."""

    @property
    def due_at(self) -> datetime:
        """When it was due, or is."""

    @property
    def failed_steps(self) -> int:
        """How many nodes have failed or are uncertain."""

    @property
    def crashes(self) -> int:
        """How often an owner failed while its node was running."""

    @property
    def postponed(self) -> Mapping[str, Any] | None:
        """While its node is postponed: ``{reason, until, since, times}``."""

    @property
    def ran(self) -> Mapping[str, Ran]:
        """After a retry by a person: the ends of the nodes that have run; else nothing."""


@dataclass(slots=True)
class Move:
    """The state an execution comes to. ``due_at`` is None where it is not queued.

    ``records`` go into the history. ``reason`` says why the execution ended as a whole, ``error`` why its node is tried
    again, ``postponed`` why and since when it waits for somebody else. ``repeated``: records that are kept apart
    because their nodes run again; ``resolved``: the place of a record that was uncertain, and how it ended after all.
    ``ended_at`` is None where it had ended before.
    """

    status: Status
    node: str
    attempt: int = 0
    due_at: datetime | None = None
    failed_steps: int = 0
    crashes: int = 0
    records: tuple[Record, ...] = ()
    reason: str = ""
    error: str = ""
    postponed: Mapping[str, Any] | None = None
    is_refund: bool = False
    ended_at: datetime | None = None
    is_counted: bool = True
    repeated: tuple[Mapping[str, Any], ...] = ()
    resolved: tuple[int, StepStatus] | None = None

    @property
    def ended(self) -> Status | None:
        """The status with which the execution ends, None if it does not."""
        return self.status if self.status in ENDED else None

    @property
    def counted_as(self) -> Status | None:
        """The end under which the counters count the execution."""
        return self.ended if self.is_counted else None


def staying(state: State, status: Status, **changes: Any) -> Move:
    """Return a move that keeps the node, and what is known of it."""
    kept = {"attempt": state.attempt, "failed_steps": state.failed_steps, "crashes": state.crashes}
    return Move(status, state.node, **(kept | changes))
