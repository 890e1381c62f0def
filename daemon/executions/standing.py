"""The state of an execution, read from its document instead of the queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.executions.ran import NOTHING, Ran, ran_in
from daemon.executions.status import Status
from rules.tree import FIRST, node_of


@dataclass(frozen=True, slots=True)
class Standing:
    """See ``daemon.executions.move.State``."""

    node: str
    status: Status
    due_at: datetime
    attempt: int
    failed_steps: int
    crashes: int
    ran: Mapping[str, Ran]
    postponed: Mapping[str, Any] | None = None


def standing_of(document: Mapping[str, Any], now: datetime, *, with_history: bool = False) -> Standing:
    """Return the state; raise KeyError, TypeError, ValueError or AttributeError if the document is corrupt.

    ``with_history``: also return the ends of its nodes.
    """
    due_at = document.get("due_at")
    return Standing(
        node_of(document.get("at"), document["step"]),
        Status(document["status"]),
        due_at if isinstance(due_at, datetime) else now,
        document["attempt"],
        document.get("failed_steps", 0),
        document.get("crashes", 0),
        ran_in(document["actions_executed"]) if with_history else NOTHING,
    )


def unreadable(now: datetime) -> Standing:
    """Return the state that stands for a corrupt document."""
    return Standing(FIRST, Status.FAILED, now, 0, 0, 0, NOTHING)
