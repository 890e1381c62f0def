"""Conditions as a Mongo filter, for the entities that a scheduled sweep pages through.

The filter means what ``Conditions.judge`` means, on the entities as they are. It uses plain query operators, so
that ordinary indexes serve it. Where MongoDB cannot express a condition exactly (``matches``, and a few operators on
paths through arrays) the filter finds too many entities, never too few: ``is_exact`` is False, and the caller judges
them again. A collection with a collation of its own must be queried with the simple one.
"""

from datetime import UTC, datetime
from typing import Any

from rules.bounds import Bounds, bounds_of_all, bounds_of_any
from rules.condition import Condition
from rules.conditions import Combination, Conditions, Group


def to_filter(conditions: Conditions, now: datetime) -> dict[str, Any]:
    """Return a filter that finds every entity that meets ``conditions`` at the server's time ``now``.

    Raise ValueError for conditions that ask what changed: only a change can answer.
    """
    return dict(_bounds(conditions.root, now).possibly)


def is_exact(conditions: Conditions) -> bool:
    """Return whether the filter finds only entities that meet the conditions; if not, judge them again."""
    return _bounds(conditions.root, datetime(2000, 1, 1, tzinfo=UTC)).is_exact


def _bounds(member: Condition | Group, now: datetime) -> Bounds:
    if isinstance(member, Condition):
        if member.bounds is None:
            raise ValueError(f"{member.path}: {member.operator} asks what changed; a query cannot")
        return member.bounds(now)
    parts = [_bounds(each, now) for each in member.members]
    if member.combination is Combination.ALL:
        return bounds_of_all(parts)
    either = bounds_of_any(parts)
    return either if member.combination is Combination.ANY else either.complement()
