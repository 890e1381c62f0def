"""When an entity may enter a workflow again.

An enrollment document is ``{_id: {workflow_id, entity_type, entity_id, key}, execution_id, at}``: the key comes from
here, the rest from the intake. ``always`` stores none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

import bson
from bson import DatetimeMS, Decimal128, ObjectId, Timestamp
from pydantic import BaseModel

from config.duration import parse_duration
from config.error import WorkflowError
from config.found import found
from rules.budget import Budget, TooCostly
from rules.canonical import canonical
from rules.field import parse_stored_field
from rules.path import value_at
from rules.validation import OUTSIDE_DATA, joined, one_of, validated

_LONGEST_KEY_BYTES: Final = 200
_SCALARS: Final = (bool, int, float, str, bytes, datetime, DatetimeMS, Decimal128, ObjectId, Timestamp)
_EXPECTED: Final = "'always', 'once', {cooldown: DURATION} or {once_per: FIELD}"


class Mode(StrEnum):
    """How often one entity may enter one workflow."""

    ALWAYS = "always"  # at every trigger; the default
    ONCE = "once"  # once and never again
    COOLDOWN = "cooldown"  # again when ``cooldown`` has passed since it last entered
    ONCE_PER = "once_per"  # once for each value of ``field``


@dataclass(frozen=True, slots=True)
class Enrollment:
    """The rule by which an entity enters a workflow. ``cooldown`` and ``field`` belong to their modes."""

    mode: Mode = Mode.ALWAYS
    cooldown: timedelta = timedelta()
    field: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether it is stored who entered: where everybody always may, nobody asks."""
        return self.mode is not Mode.ALWAYS

    def key(self, entity: Mapping[str, Any] | None, budget: Budget | None = None) -> Any:
        """Return the key that tells the enrollments of one entity apart: a BSON value, or None where none is kept.

        ``once_per`` gives ``{field, value}``; ``{field, hash}`` where the value is no scalar or longer than 200
        bytes. A missing field and an unknown entity count as null; equal numbers are one value, however they are
        spelled. Raise TooCostly for a value that is too large to make a key of.
        """
        return next(iter(self.keys(entity, budget)), None)

    def keys(self, entity: Mapping[str, Any] | None, budget: Budget | None = None) -> tuple[Any, ...]:
        """Return ``key``, if there is one, and the keys that earlier versions gave for the same value.

        Earlier versions hashed values as they were spelled. Plain numbers need no second key: MongoDB finds Decimal128
        10.50 by 10.5.
        """
        if self.mode is Mode.ALWAYS:
            return ()
        if self.mode is not Mode.ONCE_PER:
            return (str(self.mode),)
        budget = budget or Budget()
        try:
            found = value_at(entity, self.field, budget)
            value = canonical(found, budget)
        except TooCostly as error:
            error.path = "enrollment.once_per"
            raise
        encoded = bson.encode({"": value})
        if value is None or (isinstance(value, _SCALARS) and len(encoded) <= _LONGEST_KEY_BYTES):
            return ({"field": self.field, "value": value},)
        spellings = dict.fromkeys((encoded, bson.encode({"": found})))
        return tuple({"field": self.field, "hash": _digest(spelling)} for spelling in spellings)

    def refusal(self, previous: Mapping[str, Any] | None, execution_id: Any, at: datetime) -> str | None:
        """Return why an entity may not enter by a change ``at`` that time: ``already_enrolled``, ``cooldown`` or None.

        ``previous`` is the enrollment document under the same key, None if there is none. The same execution found
        again is a replay, not a refusal. Cooldown compares the times of the changes, not of their handling; a
        stored time that is no date (edited by hand) holds nobody back and is replaced.
        """
        if self.mode is Mode.ALWAYS or previous is None or previous.get("execution_id") == execution_id:
            return None
        if self.mode is not Mode.COOLDOWN:
            return "already_enrolled"
        entered_at = previous.get("at")
        if isinstance(entered_at, datetime) and at - entered_at < self.cooldown:
            return "cooldown"
        return None


def _digest(encoded: bytes) -> str:
    return blake2b(encoded, digest_size=16).hexdigest()


class _Rule(BaseModel):
    model_config = OUTSIDE_DATA

    cooldown: Any = None
    once_per: Any = None


def parse_enrollment(raw: object, path: str = "enrollment") -> Enrollment:
    """Return the rule that ``raw`` describes; raise WorkflowError if it describes none."""
    if isinstance(raw, str):
        return Enrollment(Mode(one_of(raw, (Mode.ALWAYS.value, Mode.ONCE.value), path)))
    if not isinstance(raw, Mapping):
        raise WorkflowError(path, f"expected {_EXPECTED}, found {found(raw)}")
    given = validated(_Rule, raw, path).model_fields_set
    if len(given) != 1:
        raise WorkflowError(path, f"expected {_EXPECTED}, found {found(raw)}")
    if "once_per" in given:
        return Enrollment(Mode.ONCE_PER, field=parse_stored_field(raw["once_per"], joined(path, "once_per")))
    cooldown = parse_duration(raw["cooldown"], joined(path, "cooldown"))
    if not cooldown:
        raise WorkflowError(
            joined(path, "cooldown"), f"expected a duration longer than 0, found {found(raw['cooldown'])}"
        )
    return Enrollment(Mode.COOLDOWN, cooldown=cooldown)
