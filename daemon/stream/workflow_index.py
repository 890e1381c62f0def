"""The workflows as they are at the checkpoint: what the reader matches changes against.

Loaded from workflow_versions, never from workflows; from then on it follows the stream, edit by edit.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from daemon.stream.version import head_from
from rules.change import Change
from rules.head import Head, Parse, edited
from rules.identity import bson_bytes
from rules.matching import Matcher
from rules.workflow import Workflow


class WorkflowIndex:
    """All heads, and the matcher over those that have a good version."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._heads: dict[bytes, Head] = {}
        self._matcher = Matcher()

    def __iter__(self) -> Iterator[Head]:
        return iter(self._heads.values())

    def get(self, workflow_id: Any) -> Head | None:
        """Return the head of a workflow, None if there never was one."""
        return self._heads.get(bson_bytes(workflow_id))

    def put(self, head: Head) -> None:
        """Take ``head`` as the newest version of its workflow."""
        self._heads[bson_bytes(head.workflow_id)] = head
        if head.workflow is None or head.is_deleted:
            self._matcher.remove(head.workflow_id)
        else:
            self._matcher.put(head.workflow)

    def edit(self, workflow_id: Any, document: Mapping[str, Any] | None) -> Head | None:
        """Take over what an admin wrote (None: deleted); return the new head, or None if nothing changed."""
        head = edited(self.get(workflow_id), workflow_id, document, self._parse)
        if head is not None:
            self.put(head)
        return head

    def candidates(self, change: Change) -> list[tuple[Workflow, Head]]:
        """Return the workflows that look at what ``change`` touched, in an order that never varies."""
        found = []
        for workflow in self._matcher.candidates(change):
            head = self.get(workflow.id)
            if head is not None:
                found.append((workflow, head))
        return found

    async def load(self, versions: AsyncCollection[dict[str, Any]]) -> None:
        """Replace everything by what is stored; raise the driver's error if the database does not answer."""
        self._heads.clear()
        self._matcher = Matcher()
        async for document in versions.find({"latest": True}):
            self.put(head_from(document, self._parse))
