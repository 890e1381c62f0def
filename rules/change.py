"""One decoded change of one entity, and what can be said of its fields.

A value counts as changed only if before and after differ, where both are known; where they are not, the paths
that the event names decide, and parents and children of a named path are touched (DESIGN section 4). What
cannot be known is None, and is never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from rules.cause import OUTSIDE, Cause
from rules.path import MISSING, value_at


class Kind(StrEnum):
    """What happened to the entity; a replace is an update."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class JudgedOn(StrEnum):
    """What the conditions were judged on."""

    EVENT = "event"  # the images that the event carried
    CURRENT = "current"  # the entity as it was found when the change was read: no after-image was stored


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one entity.

    ``before`` and ``after`` are whole documents, None where not known or not existing. ``touched`` holds the
    dotted paths the event names; None means that they are not known (a replace without a before-image).
    ``token`` is the hexadecimal resume token of the event, ``at`` the server's time of the change.
    """

    entity_type: str
    entity_id: Any
    kind: Kind
    touched: frozenset[str] | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    at: datetime
    token: str
    cluster_time: tuple[int, int]
    cause: Cause = OUTSIDE
    judged_on: JudgedOn = JudgedOn.EVENT

    @property
    def entity(self) -> Mapping[str, Any] | None:
        """The document that conditions are judged on: the after-image, of a deleted entity the before-image."""
        return self.before if self.kind is Kind.DELETED else self.after

    def touched_names(self) -> set[str] | None:
        """Return the names of the top-level fields that the event names or, for a replace, that differ; else None."""
        if self.touched is not None:
            return {path.split(".", 1)[0] for path in self.touched}
        if self.before is None or self.after is None or self.judged_on is not JudgedOn.EVENT:
            return None
        names = self.before.keys() | self.after.keys()
        return {name for name in names if not is_same(self.before.get(name, MISSING), self.after.get(name, MISSING))}

    def has_touched(self, path: str) -> bool | None:
        """Return whether the event names ``path``, a parent or a child of it; None where that is not known."""
        if self.touched is None:
            return None
        return any(_is_related(path, named) for named in self.touched)

    def has_changed(self, path: str) -> bool | None:
        """Return whether the value at ``path`` changed; None where that is not known. Only updates change a value."""
        if self.kind is not Kind.UPDATED:
            return False
        if self.before is not None and self.after is not None and self.judged_on is JudgedOn.EVENT:
            return not is_same(value_at(self.before, path), value_at(self.after, path))
        return self.has_touched(path)

    def has_changed_at_all(self) -> bool | None:
        """Return whether any field changed; None where that is not known."""
        if self.kind is not Kind.UPDATED:
            return False
        if self.before is not None and self.after is not None and self.judged_on is JudgedOn.EVENT:
            return not _has_same_fields(self.before, self.after)
        return None if self.touched is None else bool(self.touched)

    def value_before(self, path: str) -> Any:
        """Return the value at ``path`` before the change, MISSING if it had none; raise LookupError if not known."""
        if self.before is None:
            raise LookupError(path)
        return value_at(self.before, path)


def _is_related(path: str, named: str) -> bool:
    """Return whether one path is the other, or leads into it."""
    return path == named or path.startswith(named + ".") or named.startswith(path + ".")


def _has_same_fields(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Return whether two whole documents hold the same fields, in whatever order a client wrote them."""
    return left.keys() == right.keys() and all(is_same(left[name], right[name]) for name in left)


def is_same(left: Any, right: Any) -> bool:
    """Return whether two BSON values are the same value: 1 and 1.0 are, 1 and True are not."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return list(left) == list(right) and all(is_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, float) and isinstance(right, float) and left != left and right != right:
        return True
    return bool(left == right)


__all__ = ["MISSING", "Change", "JudgedOn", "Kind", "is_same"]
