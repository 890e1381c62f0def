"""How a step can end: a closed set. An unknown outcome is a failure, never a success."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert ``document`` into one of the daemon's result collections: ``tasks`` or ``notifications``.

    The document carries its own ``_id``, made from execution and step, so that a repeat cannot double it.
    """

    collection: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EntityUpdate:
    """Set and unset dotted fields of the entity that the step runs for."""

    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()


Write = Insert | EntityUpdate


@dataclass(frozen=True, slots=True)
class Done:
    """The step succeeded. ``result`` goes into the history; ``writes`` are committed with it, exactly once."""

    result: Mapping[str, Any]
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """The step had nothing to do, for ``reason``: a word such as ``no_email``; ``detail`` is printable text on it."""

    reason: str
    detail: str | None = None

    @property
    def told(self) -> dict[str, str]:
        """The result in the history: ``{reason, detail?}``."""
        return {"reason": self.reason} if self.detail is None else {"reason": self.reason, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed and a later one may succeed: the step's retry policy says when, and how often."""

    error: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """The step cannot act before ``until``, in the server's time, for ``reason``: it costs no attempt."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The step failed for good."""

    error: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Whether the effect took place is unknown, and it must not be repeated: a person decides."""

    error: str


Outcome = Done | Skip | Retry | Postpone | Fail | Uncertain
