"""Named points at which a test can have the process die at once, as by ``kill -9``.

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
    """What has just been done, and what not yet."""

    FIRST_START = "first_start.after_commit"  # the first checkpoint is stored, nobody reads yet
    AFTER_READ = "reader.after_read"  # events are here, nothing was decided
    AFTER_MATCH = "intake.after_match"  # it is decided who enters, nothing is written
    IN_INTAKE = "intake.in_transaction"  # everything is written, nothing committed
    AFTER_INTAKE = "intake.after_commit"  # committed; lanes, index and checkpoint in memory do not know
    BEFORE_EFFECT = "executor.before_effect"  # due steps were taken, none has begun
    AFTER_INTENT = "outside.after_intent"  # the intent is stored, the effect has not begun
    AFTER_EFFECT = "outside.after_effect"  # the effect took place outside, no record says so
    IN_GROUP_COMMIT = "group_commit.in_transaction"  # outcomes and effects are written, not committed
    AFTER_GROUP_COMMIT = "group_commit.after_commit"  # committed; nobody in this process was told
    BETWEEN_STEPS = "recorder.between_steps"  # a step is recorded and reported, the next one is not queued
    AFTER_SWITCH = "switcher.after_apply"  # what waited was switched, the switch is not marked as applied
    AFTER_PAGE = "sweep.after_page"  # one page of a sweep is committed, others are to come
    BEFORE_ANSWER = "observer.before_answer"  # a version is in force, its document does not say so
    AFTER_CLAIM = "lease.after_claim"  # leases are ours, nobody in this process was told
    BEFORE_HANDOVER = "stop.before_handover"  # the daemon has stopped in good order but holds its leases


@dataclass(slots=True)
class Armed:
    """The point to die at, and how often it may still be passed."""

    point: CrashPoint
    passes: int

    def is_last(self, point: CrashPoint) -> bool:
        """Return whether the process has to die at ``point`` now."""
        if point is not self.point:
            return False
        self.passes -= 1
        return self.passes == 0


def armed_by(text: str | None) -> Armed | None:
    """Return what the variable asks for, None if it is not set; raise ConfigError when it names no point."""
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
    """Die here if the variable says so. Called as ``if CRASH_AT is not None: reach(...)``."""
    if CRASH_AT is not None and CRASH_AT.is_last(point):
        os.kill(os.getpid(), signal.SIGKILL)
