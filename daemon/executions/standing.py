"""Where an execution stands by its document, for those who move it by the document and not from the queue."""

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
    """Return where an execution stands; raise KeyError, TypeError, ValueError or AttributeError where nobody can tell.

    ``with_history``: how its nodes ended is wanted too.
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
    """Return what stands for an execution of which nobody can tell where it stands."""
    return Standing(FIRST, Status.FAILED, now, 0, 0, 0, NOTHING)
