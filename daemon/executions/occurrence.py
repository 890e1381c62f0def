"""Occurrences: all inputs of the machine besides the outcomes of actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from actions.outcome import Outcome
from daemon.executions.status import StepStatus
from rules.program import Branch
from rules.tree import OTHERWISE


@dataclass(frozen=True, slots=True)
class Began:
    """The intent of an attempt is about to be stored: its action reaches outside."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """An attempt whose intent is stored was not begun: its number is refunded, and it keeps its place in the queue."""


@dataclass(frozen=True, slots=True)
class Died:
    """The owner failed while the action was running."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A branch was judged. ``arm``: ``cases.0`` or ``otherwise``; ``findings``: what decided, as documents."""

    arm: str
    name: str | None = None
    findings: Sequence[Mapping[str, Any]] = ()

    def told(self, branch: Branch) -> dict[str, Any]:
        """Return ``{taken, name?, findings}``; ``taken`` is None where there is no ``otherwise`` to go."""
        is_nothing = self.arm == OTHERWISE and branch.arms[OTHERWISE] == branch.following
        named = {} if self.name is None else {"name": self.name}
        return {"taken": None if is_nothing else self.arm, **named, "findings": list(self.findings)}


@dataclass(frozen=True, slots=True)
class Reached:
    """The execution is at an end, which needs nothing from outside."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The workflow was stopped at or after the execution's number."""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """The daemon cannot have written the document, because of ``problem``. ``counted_as``: the end it had, if any."""

    problem: str = ""
    counted_as: Any = None


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A person asks for the end of what waits."""


@dataclass(frozen=True, slots=True)
class CancelledByHand:
    """A person has set the status to cancelled; ``is_queued``: what waited, rather than what was at work.

    ``began_at``: when the attempt began.
    """

    is_queued: bool
    began_at: Any = None


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """A person asks for what failed to be repeated, from ``due_at`` on. ``was``: the status it had ended with."""

    was: Any
    records: Sequence[Mapping[str, Any]]
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """A person says how an uncertain step ended. ``node`` None: the only one that is uncertain."""

    outcome: StepStatus
    node: str | None
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class EditRefused:
    """An edit of the status by hand cannot be followed, because of ``problem``. ``was``: the status before it."""

    was: Any
    problem: str


Asked = CancelAsked | CancelledByHand | RetryAsked | Resolved | EditRefused
Occurrence = Outcome | Began | HandedBack | Died | Judged | Reached | Stopped | Corrupt | Asked
