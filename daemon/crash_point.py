"""Named points at which a test can end the process at once, as by ``kill -9``.

They stand at every boundary between read, decide, commit, effect and record (promises 1 and 2). They cost one
comparison with None unless ``REFLEXD_CRASH_AT`` was set when the process began: ``<point>`` for the first time it is
reached, ``<point>:3`` for the third.
"""

import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from config.error import ConfigError, nearest
from config.found import found

VARIABLE: Final = "REFLEXD_CRASH_AT"


class CrashPoint(StrEnum):
    """Named by the step just done; the comment says which is not done yet."""

    FIRST_START = "first_start.after_commit"  # the first checkpoint is stored, no reader reads yet
    AFTER_READ = "reader.after_read"  # events are read, nothing is decided
    AFTER_MATCH = "intake.after_match"  # the entrants are decided, nothing is written
    IN_INTAKE = "intake.in_transaction"  # everything is written, nothing committed
    AFTER_INTAKE = "intake.after_commit"  # committed; lanes, index and checkpoint in memory are not updated
    BEFORE_EFFECT = "executor.before_effect"  # due steps were taken, none has begun
    AFTER_INTENT = "outside.after_intent"  # the intent is stored, the effect has not begun
    AFTER_EFFECT = "outside.after_effect"  # the effect took place outside, no record of it is stored
    IN_GROUP_COMMIT = "group_commit.in_transaction"  # outcomes and effects are written, not committed
    AFTER_GROUP_COMMIT = "group_commit.after_commit"  # committed; memory is not updated
    BETWEEN_STEPS = "recorder.between_steps"  # a step is recorded and reported, the next one is not queued
    AFTER_SWITCH = "switcher.after_apply"  # waiting executions are switched, the switch is not marked as applied
    AFTER_PAGE = "sweep.after_page"  # one page of a sweep is committed, others are to come
    BEFORE_ANSWER = "observer.before_answer"  # a version is in force, its document does not say so
    AFTER_CLAIM = "lease.after_claim"  # leases are ours, memory is not updated
    BEFORE_HANDOVER = "stop.before_handover"  # the services have stopped, the leases are not given up


@dataclass(slots=True)
class Armed:
    """The point at which to end the process, and how often it is passed before."""

    point: CrashPoint
    passes: int

    def is_last(self, point: CrashPoint) -> bool:
        """Return whether to end the process at ``point`` now."""
        if point is not self.point:
            return False
        self.passes -= 1
        return self.passes == 0


def armed_by(text: str | None) -> Armed | None:
    """Return the crash that the variable names, None if it is not set; raise ConfigError when it names no point."""
    if not text:
        return None
    name, _, times = text.partition(":")
    if name not in [str(point) for point in CrashPoint] or not (times or "1").isdecimal():
        raise ConfigError(
            f"{VARIABLE}: expected <point> or <point>:<times>, found {found(text)}{nearest(name, CrashPoint)}"
        )
    return Armed(CrashPoint(name), int(times or "1"))


CRASH_AT: Final = armed_by(os.environ.get(VARIABLE))


def reach(point: CrashPoint) -> None:
    """End the process here if the variable names this point. Called as ``if CRASH_AT is not None: reach(...)``."""
    if CRASH_AT is not None and CRASH_AT.is_last(point):
        os.kill(os.getpid(), signal.SIGKILL)
