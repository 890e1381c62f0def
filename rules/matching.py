"""An index of the workflows that a change could start: its cost grows with those that could match, not with all."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from rules.change import Change, Kind
from rules.identity import bson_bytes
from rules.trigger import Trigger
from rules.workflow import Workflow

_ANY_FIELD = ""
_Key = tuple[str, Kind, str]  # entity type, kind, first name of a field's path or _ANY_FIELD


class Matcher:
    """The workflows that changes can start, by entity type, kind and field."""

    def __init__(self) -> None:
        self._buckets: defaultdict[_Key, dict[bytes, Workflow]] = defaultdict(dict)
        self._roots: defaultdict[tuple[str, Kind], set[str]] = defaultdict(set)
        self._workflows: dict[bytes, Workflow] = {}

    def put(self, workflow: Workflow) -> None:
        """Add a workflow, in place of the one with the same id."""
        self.remove(workflow.id)
        order = bson_bytes(workflow.id)
        self._workflows[order] = workflow
        for entity_type, kind, root in _keys(workflow.trigger):
            self._buckets[entity_type, kind, root][order] = workflow
            self._roots[entity_type, kind].add(root)

    def remove(self, workflow_id: Any) -> None:
        """Take a workflow out; nothing happens if it is not there."""
        order = bson_bytes(workflow_id)
        workflow = self._workflows.pop(order, None)
        if workflow is None:
            return
        for key in _keys(workflow.trigger):
            bucket = self._buckets[key]
            bucket.pop(order, None)
            if not bucket:
                del self._buckets[key]
                self._roots[key[:2]].discard(key[2])

    def candidates(self, change: Change) -> list[Workflow]:
        """Return the workflows whose trigger looks at a field that the change touched, always in the same order."""
        found: dict[bytes, Workflow] = {}
        for root in self._touched_roots(change):
            bucket = self._buckets.get((change.entity_type, change.kind, root))
            if bucket:
                found.update(bucket)
        return [found[order] for order in sorted(found)]

    def _touched_roots(self, change: Change) -> set[str]:
        known = self._roots.get((change.entity_type, change.kind))
        if not known:
            return set()
        if change.kind is not Kind.UPDATED:
            return known
        touched = change.touched_names()
        return known if touched is None else known & {_ANY_FIELD, *touched}


def _keys(trigger: Trigger) -> Iterator[_Key]:
    kind = trigger.type.kind
    if kind is None or trigger.entity_type is None:
        return
    roots = {path.split(".", 1)[0] for path in trigger.fields} or {_ANY_FIELD}
    for root in roots:
        yield trigger.entity_type, kind, root
