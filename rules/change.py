"""One decoded change of one entity, and whether its fields changed.

Where the values before and after are known, a field changed if they differ (``rules.value.is_equal``). Where they are
not, the paths that the event names decide: a named path touches its parents and children (DESIGN section 4). An answer
that cannot be known is None, and is never guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from rules.budget import Budget, TooCostly
from rules.cause import OUTSIDE, Cause
from rules.path import MISSING, value_at
from rules.value import is_equal

_ANYWHERE: Final = ""  # in the place of a path
_LOOKED_AT_FIRST: Final = 20  # of the paths that an event names


class Kind(StrEnum):
    """The kind of a change; a replace is an update."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class JudgedOn(StrEnum):
    """The source of the document that conditions were judged on."""

    EVENT = "event"  # the images that the event carried
    CURRENT = "current"  # the entity as it was found when the change was read: no after-image was stored


@dataclass(slots=True)
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
    _told: dict[str, bool | None] = field(default_factory=dict, init=False, repr=False, compare=False)  # by path

    @property
    def entity(self) -> Mapping[str, Any] | None:
        """The document that conditions are judged on: the after-image, of a deleted entity the before-image."""
        return self.before if self.kind is Kind.DELETED else self.after

    def touched_names(self) -> set[str] | None:
        """Return the names of the top-level fields that the event names or, for a replace, that differ; else None.

        None too where comparing would be too costly: then any field may have changed.
        """
        if self.touched is not None:
            return {path.split(".", 1)[0] for path in self.touched}
        if not self._has_images:
            return None
        budget = Budget()
        try:
            return {name for name in self._names() if self._field_differs(name, budget)}
        except TooCostly:
            return None

    def has_touched(self, path: str) -> bool | None:
        """Return whether the event names ``path``, a parent or a child of it; None where that is not known."""
        if self.touched is None:
            return None
        return any(_is_related(path, named) for named in self.touched)

    def has_changed(self, path: str, budget: Budget | None = None) -> bool | None:
        """Return whether the value at ``path`` changed; None where that is not known. Only updates change a value.

        Raise TooCostly if comparing takes more than ``budget`` has left.
        """
        if self.kind is not Kind.UPDATED:
            return False
        if path not in self._told:
            self._told[path] = self._has_changed(path, budget or Budget())
        return self._told[path]

    def has_changed_at_all(self, budget: Budget | None = None) -> bool | None:
        """Return whether any field changed; None where that is not known. Raise TooCostly as ``has_changed`` does."""
        if self.kind is not Kind.UPDATED:
            return False
        if _ANYWHERE not in self._told:
            self._told[_ANYWHERE] = self._has_changed_at_all(budget or Budget())
        return self._told[_ANYWHERE]

    @property
    def _has_images(self) -> bool:
        return self.before is not None and self.after is not None and self.judged_on is JudgedOn.EVENT

    def _has_changed(self, path: str, budget: Budget) -> bool | None:
        if self._has_images:
            within = (named for named in self._named() if named.startswith(f"{path}."))
            return any(self._differs(named, budget) for named in within) or self._differs(path, budget)
        budget.spend(len(self.touched or ()))
        return self.has_touched(path)

    def _has_changed_at_all(self, budget: Budget) -> bool | None:
        if not self._has_images:
            return None if self.touched is None else bool(self.touched)
        return any(self._differs(path, budget) for path in self._named()) or any(
            self._field_differs(name, budget) for name in self._names()
        )

    def _named(self) -> Iterator[str]:
        """Return some paths that the event names: most often they differ, and large values need not be compared."""
        return islice(self.touched or (), _LOOKED_AT_FIRST)

    def _names(self) -> Sequence[str]:
        """Return the names of all top-level fields before and after the change."""
        return list(dict.fromkeys((*(self.before or ()), *(self.after or ()))))

    def _field_differs(self, name: str, budget: Budget) -> bool:
        """Return whether a top-level field differs, whose name may have dots in it."""
        assert self.before is not None
        assert self.after is not None
        return not is_equal(self.before.get(name, MISSING), self.after.get(name, MISSING), budget)

    def _differs(self, path: str, budget: Budget) -> bool:
        """Return whether the value at ``path`` differs between the images; null and missing are equal."""
        return not is_equal(value_at(self.before, path, budget), value_at(self.after, path, budget), budget)


def _is_related(path: str, named: str) -> bool:
    """Return whether one path is the other, or leads into it."""
    return path == named or path.startswith(named + ".") or named.startswith(path + ".")
