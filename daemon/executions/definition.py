"""The pinned workflow versions that executions point to, loaded from workflow_versions in batches and kept."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from config.error import WorkflowError
from daemon.workflows.parsing import parsed_aside
from rules.head import Parse
from rules.identity import bson_bytes
from rules.workflow import Workflow

CAPACITY: Final = 10_000
Pinned = tuple[bytes, int]  # BSON of the workflow id, version


class Definitions:
    """Compiled workflow versions by id and version; the least recently used ones are dropped."""

    def __init__(self, versions: AsyncCollection[dict[str, Any]], parse: Parse) -> None:
        self._versions = versions
        self._parse = parse
        self._known: OrderedDict[Pinned, Workflow | WorkflowError | None] = OrderedDict()

    async def load(self, wanted: Iterable[tuple[Any, int]]) -> Mapping[Pinned, Workflow | WorkflowError | None]:
        """Return the wanted versions by :func:`pinned`: compiled, or why this daemon cannot compile it, or None if
        there is no such version."""
        keys = {pinned(workflow_id, version): (workflow_id, version) for workflow_id, version in wanted}
        missing = {key: value for key, value in keys.items() if key not in self._known}
        if missing:
            await self._fetch(missing)
        found = {}
        for key in keys:
            self._known.move_to_end(key)
            found[key] = self._known[key]
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return found

    async def _fetch(self, missing: Mapping[Pinned, tuple[Any, int]]) -> None:
        ids = [{"workflow_id": workflow_id, "version": version} for workflow_id, version in missing.values()]
        found: dict[Pinned, Workflow | WorkflowError | None] = dict.fromkeys(missing)
        async for document in self._versions.find({"_id": {"$in": ids}}):
            workflow_id, version = document["workflow_id"], document["version"]
            found[pinned(workflow_id, version)] = await self._compiled(workflow_id, version, document)
        self._known.update(found)  # only now: a read that was cut off says nothing about what there is

    async def _compiled(
        self, workflow_id: Any, version: int, document: Mapping[str, Any]
    ) -> Workflow | WorkflowError | None:
        definition = document.get("definition")
        return None if definition is None else await parsed_aside(self._parse, workflow_id, version, definition)


def pinned(workflow_id: Any, version: int) -> Pinned:
    """Return the hashable key of a workflow version."""
    return bson_bytes(workflow_id), version
