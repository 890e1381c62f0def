"""What the group commit writes for one execution: a compare-and-set on it, and the effects that depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from actions.outcome import EntityUpdate, Insert
from daemon.executions.job import Job
from daemon.executions.status import Status


def is_in_state(document: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Return whether a document holds all values of ``state``; MongoDB keeps whole milliseconds."""
    return all(document.get(name) == _in_milliseconds(value) for name, value in state.items())


def state_query(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query that finds a document in ``state``, but not one whose lists only contain those values."""
    return {name: {"$eq": value, "$not": {"$type": "array"}} for name, value in state.items()}


def _in_milliseconds(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_milliseconds(each) for name, each in value.items()}
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value


@dataclass(frozen=True, slots=True)
class Unit:
    """One compare-and-set and its effects; all of it is committed, or nothing.

    ``filter`` names the state that the execution must still be in. ``ended`` is set where the execution ends with
    this unit: then its workflow's counters grow. ``following`` is what is queued next for the same execution.
    ``needs_lease``: it may only be committed while the lane's lease can be trusted.
    """

    job: Job
    filter: Mapping[str, Any]
    update: Mapping[str, Any]
    inserts: tuple[Insert, ...] = ()
    entity_updates: tuple[EntityUpdate, ...] = ()
    ended: Status | None = None
    following: Job | None = None
    record: Mapping[str, Any] = field(default_factory=dict)  # the step as it goes into the history, empty if none
    needs_lease: bool = False
