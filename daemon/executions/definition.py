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

CAPACITY: Final = 2_000
CAPACITY_BYTES: Final = 8 * 1024 * 1024  # of BSON; compiled, a definition takes up to twenty times as much
Compiled = Workflow | WorkflowError | None
Pinned = tuple[bytes, int]  # BSON of the workflow id, version


class Definitions:
    """Compiled workflow versions by id and version; the least recently used ones are dropped."""

    def __init__(self, versions: AsyncCollection[dict[str, Any]], parse: Parse) -> None:
        self._versions = versions
        self._parse = parse
        self._known: OrderedDict[Pinned, tuple[Compiled, int]] = OrderedDict()  # with its size in bytes of BSON
        self._bytes = 0

    async def load(self, wanted: Iterable[tuple[Any, int]]) -> Mapping[Pinned, Compiled]:
        """Return the wanted versions by :func:`pinned`: compiled, or why this daemon cannot compile it, or None if
        there is no such version."""
        keys = {pinned(workflow_id, version): (workflow_id, version) for workflow_id, version in wanted}
        missing = {key: value for key, value in keys.items() if key not in self._known}
        if missing:
            await self._fetch(missing)
        found = {}
        for key in keys:
            self._known.move_to_end(key)
            found[key] = self._known[key][0]
        while len(self._known) > CAPACITY or self._bytes > CAPACITY_BYTES:
            _, (_, size) = self._known.popitem(last=False)
            self._bytes -= size
        return found

    async def _fetch(self, missing: Mapping[Pinned, tuple[Any, int]]) -> None:
        ids = [{"workflow_id": workflow_id, "version": version} for workflow_id, version in missing.values()]
        found: dict[Pinned, tuple[Compiled, int]] = dict.fromkeys(missing, (None, 0))
        async for document in self._versions.find({"_id": {"$in": ids}}):
            workflow_id, version = document["_id"]["workflow_id"], document["_id"]["version"]
            definition = document.get("definition")
            if isinstance(definition, Mapping):
                compiled = await parsed_aside(self._parse, workflow_id, version, definition)
                found[pinned(workflow_id, version)] = (compiled, len(bson_bytes(definition)))
        # Only now: a read that was cut off says nothing about what there is.
        self._bytes += sum(size for key, (_, size) in found.items() if key not in self._known)
        self._known.update(found)


def pinned(workflow_id: Any, version: int) -> Pinned:
    """Return the hashable key of a workflow version."""
    return bson_bytes(workflow_id), version
