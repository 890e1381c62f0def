"""The states of an execution, and who moves it from one to another.

pending --executor--> running --executor--> waiting | completed | failed. The reader's transitions move what waits
to held, back, and to cancelled.
"""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where an execution stands."""

    PENDING = "pending"  # queued for its first step; due_at says when
    RUNNING = "running"  # an action that reaches outside is at work; no due_at
    WAITING = "waiting"  # queued for a later step, a delay or a retry; due_at says when
    HELD = "held"  # its workflow is paused; held_due_at says when it was due
    COMPLETED = "completed"  # ended: every step succeeded or was skipped
    FAILED = "failed"  # ended: at least one step failed for good or is uncertain
    CANCELLED = "cancelled"  # ended: its workflow was stopped, or a person cancelled it


# Tuples: a status that somebody edited by hand may be of a type that no set can look for.
QUEUED: Final = (Status.PENDING, Status.WAITING)
ENDED: Final = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class StepStatus(StrEnum):
    """How a step ended."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNCERTAIN = "uncertain"
