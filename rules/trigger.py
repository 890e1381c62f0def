"""The trigger of a workflow, and whether a change matches it.

An answer that cannot be known is None and is never guessed: ``from`` without a before-image, the fields of a replace
without one (DESIGN section 4).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from config.error import WorkflowError, nearest
from config.found import LONGEST_SHOWN, found
from rules.budget import Budget
from rules.change import Change, Kind
from rules.condition import Subject
from rules.conditions import Conditions, parse_conditions
from rules.field import parse_stored_field
from rules.path import MISSING
from rules.schedule import Schedule, parse_schedule
from rules.validation import Problems, joined, one_of
from rules.value import is_equal

_MOST_FIELDS: Final = 100


class TriggerType(StrEnum):
    """The kinds of trigger."""

    ENTITY_CREATED = "entity_created"
    FIELD_UPDATED = "field_updated"  # by an update or a replace; inserts never fire it
    ENTITY_DELETED = "entity_deleted"
    SCHEDULED = "scheduled"  # by the clock, for every entity that meets the conditions
    MANUAL = "manual"  # by a request only

    @property
    def kind(self) -> Kind | None:
        """The kind of change that starts it, None where it is no change."""
        return _KINDS.get(self)

    @property
    def follows_change(self) -> bool:
        """Whether a change of an entity starts it; the others have no change that conditions could look at."""
        return self in _KINDS


_KINDS: Final = {
    TriggerType.ENTITY_CREATED: Kind.CREATED,
    TriggerType.FIELD_UPDATED: Kind.UPDATED,
    TriggerType.ENTITY_DELETED: Kind.DELETED,
}
_KEYS: Final[Mapping[TriggerType, tuple[str, ...]]] = {
    TriggerType.ENTITY_CREATED: ("type", "entity_type"),
    TriggerType.FIELD_UPDATED: ("type", "entity_type", "field", "fields", "from", "to"),
    TriggerType.ENTITY_DELETED: ("type", "entity_type"),
    TriggerType.SCHEDULED: ("type", "entity_type", "schedule", "timezone"),
    TriggerType.MANUAL: ("type", "entity_type"),
}
_VALUE_OPERATORS: Final = {"from": "changed_from", "to": "changed_to"}


@dataclass(frozen=True, slots=True)
class Trigger:
    """The trigger of a workflow.

    ``entity_type`` is None only for a manual trigger that is open to all types. ``fields`` (field_updated) is empty
    for any field. ``transition`` holds ``from`` and ``to`` as the conditions ``changed_from`` and ``changed_to``, so
    that equality is the same everywhere: null matches a missing field, an array matches by an element.
    """

    type: TriggerType
    entity_type: str | None = None
    fields: tuple[str, ...] = ()
    transition: Conditions | None = None
    schedule: Schedule | None = None

    def matches(self, change: Change, budget: Budget | None = None) -> bool | None:
        """Return whether the change starts this trigger; None where that cannot be known.

        Raise TooCostly if the answer takes more than ``budget`` has left.
        """
        if self.type.kind is not change.kind or change.entity_type != self.entity_type:
            return False
        if self.type is not TriggerType.FIELD_UPDATED:
            return True
        budget = budget or Budget()
        touched = self.has_changed(change, budget)
        if touched is False or self.transition is None:
            return touched
        moved = self.transition.judge(Subject(change.entity, change.at, change, budget))
        if moved is False:
            return False
        return True if touched and moved else None

    def has_changed(self, change: Change, budget: Budget | None = None) -> bool | None:
        """Return whether one of ``fields`` changed (any field where there are none), whatever its values."""
        if not self.fields:
            return change.has_changed_at_all(budget)
        verdicts = [change.has_changed(field, budget) for field in self.fields]
        return True if True in verdicts else None if None in verdicts else False


def parse_trigger(raw: object, path: str, *, entity_types: Collection[str], timezone: str) -> Trigger:
    """Return the trigger at ``path``; raise WorkflowError if it is none.

    ``entity_types`` are the types this installation watches, ``timezone`` the one of schedules that name none.
    """
    if not isinstance(raw, Mapping):
        raise WorkflowError(path, f"expected an object, found {found(raw) if raw is not None else 'nothing'}")
    trigger_type = TriggerType(one_of(raw.get("type", MISSING), list(TriggerType), joined(path, "type")))
    problems = Problems()
    for key in raw:
        problems.attempt(_check_key, key, trigger_type, path)
    entity_type = problems.attempt(_parse_entity_type, raw, trigger_type, path, entity_types)
    schedule = None
    if trigger_type is TriggerType.SCHEDULED:
        schedule = problems.attempt(_parse_schedule, raw, path, timezone)
    problems.raise_first()
    if trigger_type is not TriggerType.FIELD_UPDATED:
        return Trigger(trigger_type, entity_type, schedule=schedule)
    fields = _parse_fields(raw, path)
    return Trigger(trigger_type, entity_type, fields, _parse_transition(raw, path, fields))


def _check_key(key: str, trigger_type: TriggerType, path: str) -> None:
    known = _KEYS[trigger_type]
    if key in known:
        return
    owner = next((other for other, keys in _KEYS.items() if key in keys), None)
    if owner:
        raise WorkflowError(
            joined(path, key), f"expected only in a {owner} trigger, found in one of type {trigger_type}"
        )
    raise WorkflowError(
        joined(path, key), f"unknown key{nearest(key[:LONGEST_SHOWN], known)}; known here: {', '.join(known)}"
    )


def _parse_entity_type(
    raw: Mapping[str, Any], trigger_type: TriggerType, path: str, entity_types: Collection[str]
) -> str | None:
    if "entity_type" not in raw and trigger_type is TriggerType.MANUAL:
        return None
    return one_of(raw.get("entity_type", MISSING), entity_types, joined(path, "entity_type"))


def _parse_schedule(raw: Mapping[str, Any], path: str, timezone: str) -> Schedule:
    if "schedule" not in raw:
        raise WorkflowError(joined(path, "schedule"), "expected five cron fields such as '0 9 * * *', found nothing")
    return parse_schedule(raw["schedule"], raw.get("timezone", timezone), path)


def _parse_fields(raw: Mapping[str, Any], path: str) -> tuple[str, ...]:
    if "field" in raw and "fields" in raw:
        raise WorkflowError(joined(path, "fields"), "expected either field or fields, found both")
    if "field" in raw:
        return (_parse_changing(raw["field"], joined(path, "field")),)
    if "fields" not in raw:
        return ()
    several = raw["fields"]
    where = joined(path, "fields")
    if not isinstance(several, list) or not 1 <= len(several) <= _MOST_FIELDS:
        raise WorkflowError(where, f"expected a list of 1 to {_MOST_FIELDS} field paths, found {found(several)}")
    return tuple(_parse_changing(field, joined(where, index)) for index, field in enumerate(several))


def _parse_changing(raw: object, path: str) -> str:
    """Return the path of a field that an update can change; raise WorkflowError for one that none ever does."""
    field = parse_stored_field(raw, path)
    if field.split(".", 1)[0] == "_id":
        raise WorkflowError(path, "expected a field that can change, found '_id', which MongoDB never changes")
    return field


def _parse_transition(raw: Mapping[str, Any], path: str, fields: tuple[str, ...]) -> Conditions | None:
    given = [key for key in _VALUE_OPERATORS if key in raw]
    if not given:
        return None
    if len(fields) != 1:
        raise WorkflowError(joined(path, given[0]), f"expected only with exactly one field, found {len(fields)} fields")
    problems = Problems()
    conditions = [problems.attempt(_value_condition, raw[key], key, fields[0], joined(path, key)) for key in given]
    problems.raise_first()
    if len(given) == len(_VALUE_OPERATORS) and is_equal(raw["from"], raw["to"], Budget()):
        raise WorkflowError(joined(path, "to"), "expected another value than in from: no change leads to the same one")
    return parse_conditions(conditions, path)


def _value_condition(value: Any, key: str, field: str, path: str) -> dict[str, Any]:
    """Return the condition that ``from`` or ``to`` stands for; raise WorkflowError at ``path`` if it cannot be one."""
    condition = {"field": field, "operator": _VALUE_OPERATORS[key], "value": value}
    try:
        parse_conditions([condition], path)
    except WorkflowError as error:
        raise WorkflowError(path, error.problem) from error
    return condition
