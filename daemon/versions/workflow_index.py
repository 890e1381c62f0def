"""The workflows as they are at the checkpoint; the reader matches changes against them.

The index is loaded from workflow_versions, never from workflows, and then follows the stream edit by edit.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from config.error import WorkflowError
from daemon.slice import TimeSlice
from daemon.versions.parsing import parsed_aside
from daemon.versions.stored import LIVING, version_from
from rules.change import Change, Kind
from rules.identity import bson_bytes
from rules.matching import Matcher
from rules.version import Parse, Version, defines_the_same, edited
from rules.workflow import Workflow

_LOADED_AT_ONCE: Final = 50  # even the largest are decoded within a slice of the event loop
_DELETED: Final = {"latest": True, "is_deleted": True}  # only their numbers matter, if such a workflow is created again


class WorkflowIndex:
    """All versions, and the matcher over those that have a good version."""

    def __init__(self, parse: Parse, look: Callable[[], Awaitable[None]] | None = None) -> None:
        """``look`` is called before documents are parsed, because parsing may depend on its results."""
        self._parse = parse
        self._look = look or _look_nowhere
        self._newest: dict[bytes, Version] = {}
        self._matcher = Matcher()
        self._of_kind: dict[tuple[str, Kind], list[tuple[Workflow, Version]]] = {}
        self._before: dict[bytes, Version | None] = {}  # the versions replaced since the last commit
        self._ahead: dict[int, tuple[Mapping[str, Any], Workflow | WorkflowError]] = {}

    def __iter__(self) -> Iterator[Version]:
        return iter(self._newest.values())

    def get(self, workflow_id: Any) -> Version | None:
        """Return the version of a workflow, None if there never was one."""
        return self._newest.get(bson_bytes(workflow_id))

    def put(self, version: Version) -> None:
        """Take ``version`` as the newest version of its workflow."""
        key = bson_bytes(version.workflow_id)
        self._before.setdefault(key, self._newest.get(key))
        self._newest[key] = version
        self._match(version)

    def edits(self, versions: Iterable[Version]) -> list[tuple[Version | None, Version]]:
        """Return ``versions``, which were put since the last commit, each with the one that was in its place before."""
        last: dict[bytes, Version | None] = {}
        found = []
        for version in versions:
            key = bson_bytes(version.workflow_id)
            found.append((last.get(key, self._before.get(key)), version))
            last[key] = version
        return found

    def settle(self) -> None:
        """Note that everything put so far is committed."""
        self._before.clear()

    def take_back(self) -> None:
        """Forget everything put since the last commit: it was not committed."""
        before, self._before = self._before, {}
        for key, version in before.items():
            moved = self._newest.pop(key)
            self._matcher.remove(moved.workflow_id)
            if version is not None:
                self._newest[key] = version
                self._match(version)
        self._of_kind.clear()

    def _match(self, version: Version) -> None:
        self._of_kind.clear()
        if version.workflow is None or version.is_deleted:
            self._matcher.remove(version.workflow_id)
        else:
            self._matcher.put(version.workflow)

    def edit(self, workflow_id: Any, document: Mapping[str, Any] | None) -> Version | None:
        """Apply an edit by an admin (None: deleted); return the new version, or None if nothing changed."""
        version = edited(self.get(workflow_id), workflow_id, document, self._parse_or_take)
        if version is not None:
            self.put(version)
        return version

    async def prepare(self, edits: Iterable[tuple[Any, Mapping[str, Any]]]) -> None:
        """Parse documents ahead of ``edit``, which must get the same objects, without blocking the event loop."""
        ahead: dict[int, tuple[Mapping[str, Any], Workflow | WorkflowError]] = {}
        before: dict[bytes, Mapping[str, Any] | None] = {}
        turn, has_looked = TimeSlice(), False
        for workflow_id, document in edits:
            known = self._ahead.get(id(document))
            key = bson_bytes(workflow_id)
            if key not in before:
                before[key] = self._newest[key].definition if key in self._newest else None
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

    def candidates(self, change: Change) -> list[tuple[Workflow, Version]]:
        """Return the workflows that look at a field that ``change`` touched, always in the same order."""
        if change.kind is Kind.UPDATED:
            return self._looked_up(change)
        key = change.entity_type, change.kind  # creations and deletions touch all fields
        found = self._of_kind.get(key)
        if found is None:
            found = self._of_kind[key] = self._looked_up(change)
        return found

    def _looked_up(self, change: Change) -> list[tuple[Workflow, Version]]:
        found = []
        for workflow in self._matcher.candidates(change):
            version = self.get(workflow.id)
            if version is not None:
                found.append((workflow, version))
        return found

    async def load(self, versions: AsyncCollection[dict[str, Any]]) -> None:
        """Load all versions anew; raise the driver's error if the database does not answer."""
        found, turn = [], TimeSlice()
        for query, fields in ((LIVING, None), (_DELETED, {"definition": 0})):
            async for document in versions.find(query, fields).batch_size(_LOADED_AT_ONCE):
                found.append(await version_from(document, self._parse))
                await turn.give_way()
        self.replace(found)

    def replace(self, versions: Iterable[Version]) -> None:
        """Replace all versions by ``versions``."""
        self._newest.clear()
        self._of_kind.clear()
        self._matcher = Matcher()
        for version in versions:
            self.put(version)
        self.settle()


async def _look_nowhere() -> None:
    """Do nothing: parsing depends on nothing that may change."""
