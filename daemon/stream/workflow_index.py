"""The workflows as they are at the checkpoint; the reader matches changes against them.

The index is loaded from workflow_versions, never from workflows, and then follows the stream edit by edit.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from config.error import WorkflowError
from daemon.slice import TimeSlice
from daemon.stream.version import head_from
from daemon.workflows.parsing import parsed_aside
from rules.change import Change, Kind
from rules.head import Head, Parse, defines_the_same, edited
from rules.identity import bson_bytes
from rules.matching import Matcher
from rules.workflow import Workflow

_LOADED_AT_ONCE: Final = 50  # even the largest are decoded within a slice of the event loop
_LIVING: Final = {"latest": True, "is_deleted": {"$ne": True}}
_DELETED: Final = {"latest": True, "is_deleted": True}  # only their numbers matter, if such a workflow is created again


class WorkflowIndex:
    """All heads, and the matcher over those that have a good version."""

    def __init__(self, parse: Parse, look: Callable[[], Awaitable[None]] | None = None) -> None:
        """``look`` is called before documents are parsed, because parsing may depend on its results."""
        self._parse = parse
        self._look = look or _look_nowhere
        self._heads: dict[bytes, Head] = {}
        self._matcher = Matcher()
        self._of_kind: dict[tuple[str, Kind], list[tuple[Workflow, Head]]] = {}
        self._before: dict[bytes, Head | None] = {}  # the heads replaced since the last commit
        self._ahead: dict[int, tuple[Mapping[str, Any], Workflow | WorkflowError]] = {}

    def __iter__(self) -> Iterator[Head]:
        return iter(self._heads.values())

    def get(self, workflow_id: Any) -> Head | None:
        """Return the head of a workflow, None if there never was one."""
        return self._heads.get(bson_bytes(workflow_id))

    def put(self, head: Head) -> None:
        """Take ``head`` as the newest version of its workflow."""
        key = bson_bytes(head.workflow_id)
        self._before.setdefault(key, self._heads.get(key))
        self._heads[key] = head
        self._match(head)

    def edits(self, heads: Iterable[Head]) -> list[tuple[Head | None, Head]]:
        """Return ``heads``, which were put since the last commit, each with the one that was in its place before."""
        last: dict[bytes, Head | None] = {}
        found = []
        for head in heads:
            key = bson_bytes(head.workflow_id)
            found.append((last.get(key, self._before.get(key)), head))
            last[key] = head
        return found

    def settle(self) -> None:
        """Note that everything put so far is committed."""
        self._before.clear()

    def take_back(self) -> None:
        """Forget everything put since the last commit: it was not committed."""
        before, self._before = self._before, {}
        for key, head in before.items():
            moved = self._heads.pop(key)
            self._matcher.remove(moved.workflow_id)
            if head is not None:
                self._heads[key] = head
                self._match(head)
        self._of_kind.clear()

    def _match(self, head: Head) -> None:
        self._of_kind.clear()
        if head.workflow is None or head.is_deleted:
            self._matcher.remove(head.workflow_id)
        else:
            self._matcher.put(head.workflow)

    def edit(self, workflow_id: Any, document: Mapping[str, Any] | None) -> Head | None:
        """Apply an edit by an admin (None: deleted); return the new head, or None if nothing changed."""
        head = edited(self.get(workflow_id), workflow_id, document, self._parse_or_take)
        if head is not None:
            self.put(head)
        return head

    async def prepare(self, edits: Iterable[tuple[Any, Mapping[str, Any]]]) -> None:
        """Parse documents ahead of ``edit``, which must get the same objects, without blocking the event loop."""
        ahead: dict[int, tuple[Mapping[str, Any], Workflow | WorkflowError]] = {}
        before: dict[bytes, Mapping[str, Any] | None] = {}
        turn, has_looked = TimeSlice(), False
        for workflow_id, document in edits:
            known = self._ahead.get(id(document))
            key = bson_bytes(workflow_id)
            if key not in before:
                before[key] = self._heads[key].definition if key in self._heads else None
            if known is not None:
                ahead[id(document)] = known
            elif not defines_the_same(before[key], document):
                if not has_looked:
                    await self._look()
                    has_looked = True
                ahead[id(document)] = document, await parsed_aside(self._parse, workflow_id, 0, document)
                await turn.give_way()
            before[key] = document
        self._ahead = ahead  # holds the documents too: an id() is valid while its object lives

    def _parse_or_take(self, workflow_id: Any, version: int, document: Mapping[str, Any]) -> Workflow:
        known = self._ahead.pop(id(document), None)
        if known is None:
            return self._parse(workflow_id, version, document)
        if isinstance(known[1], WorkflowError):
            raise known[1]
        return replace(known[1], version=version)

    def candidates(self, change: Change) -> list[tuple[Workflow, Head]]:
        """Return the workflows that look at a field that ``change`` touched, always in the same order."""
        if change.kind is Kind.UPDATED:
            return self._looked_up(change)
        key = change.entity_type, change.kind  # creations and deletions touch all fields
        found = self._of_kind.get(key)
        if found is None:
            found = self._of_kind[key] = self._looked_up(change)
        return found

    def _looked_up(self, change: Change) -> list[tuple[Workflow, Head]]:
        found = []
        for workflow in self._matcher.candidates(change):
            head = self.get(workflow.id)
            if head is not None:
                found.append((workflow, head))
        return found

    async def load(self, versions: AsyncCollection[dict[str, Any]]) -> None:
        """Load all heads anew; raise the driver's error if the database does not answer."""
        heads, turn = [], TimeSlice()
        for query, fields in ((_LIVING, None), (_DELETED, {"definition": 0})):
            async for document in versions.find(query, fields).batch_size(_LOADED_AT_ONCE):
                heads.append(await head_from(document, self._parse))
                await turn.give_way()
        self.replace(heads)

    def replace(self, heads: Iterable[Head]) -> None:
        """Replace all heads by ``heads``."""
        self._heads.clear()
        self._of_kind.clear()
        self._matcher = Matcher()
        for head in heads:
            self.put(head)
        self.settle()


async def _look_nowhere() -> None:
    """Do nothing: parsing depends on nothing that may change."""
