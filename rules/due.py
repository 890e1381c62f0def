"""When a node of an execution is due. What is held is given back its own time by the switcher, in MongoDB itself.

Pure: the caller passes the time. ``time_scale`` divides every wait, for demonstrations; it is 1 otherwise.
"""

from datetime import datetime, timedelta


def first_due(delay: timedelta, triggered_at: datetime, now: datetime, time_scale: float) -> datetime:
    """Return when the first node is due: ``delay`` after its trigger, and now without one.

    ``now`` never runs backwards from one execution to the next (promise 3); ``triggered_at`` may.
    """
    return triggered_at + delay / time_scale if delay else now


def next_due(delay: timedelta, ended_at: datetime, time_scale: float) -> datetime:
    """Return when a node is due whose predecessor ended at ``ended_at``."""
    return ended_at + delay / time_scale if delay else ended_at


def retry_due(wait: timedelta, now: datetime, time_scale: float) -> datetime:
    """Return when a node is tried again that failed, or was postponed."""
    return now + wait / time_scale
