"""The pinned workflow versions that executions point to, loaded from workflow_versions in batches and kept."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from config.error import WorkflowError
from daemon.versions.parsing import parsed_aside
from rules.identity import bson_bytes
from rules.version import Parse
from rules.workflow import Workflow

CAPACITY: Final = 2_000
CAPACITY_BYTES: Final = 8 * 1024 * 1024  # of BSON; compiled, a definition takes up to twenty times as much
Compiled = Workflow | WorkflowError | None
Pinned = tuple[bytes, int]  # BSON of the workflow id, version


class Definitions:
    """Compiled workflow versions by id and version; the least recently used ones are dropped."""

    def __init__(
        self,
        versions: AsyncCollection[dict[str, Any]],
        parse: Parse,
        *,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        """``capacity`` is the number of versions kept in memory, ``capacity_bytes`` the size of their BSON."""
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._versions = versions
        self._parse = parse
        self._known: OrderedDict[Pinned, tuple[Compiled, int]] = OrderedDict()  # with its size in bytes of BSON
        self._bytes = 0

    async def load(self, wanted: Iterable[tuple[Any, int]]) -> Mapping[Pinned, Compiled]:
        """Return the wanted versions by :func:`pinned`: compiled, or the error of compiling it, or None if there is no
        such version."""
        keys = {pinned(workflow_id, version): (workflow_id, version) for workflow_id, version in wanted}
        # Taken before the first await: another load may drop versions from memory that this one is about to use.
        found = {key: self._known[key] for key in keys if key in self._known}
        missing = {key: value for key, value in keys.items() if key not in found}
        if missing:
            found |= await self._fetch(missing)
        for key, loaded in found.items():
            self._keep(key, loaded)
        while len(self._known) > self._capacity or self._bytes > self._capacity_bytes:
            _, (_, size) = self._known.popitem(last=False)
            self._bytes -= size
        return {key: compiled for key, (compiled, _) in found.items()}

    async def one(self, workflow_id: Any, version: int) -> Workflow | None:
        """Return one version, None if it no longer exists or cannot be compiled here."""
        found = (await self.load([(workflow_id, version)]))[pinned(workflow_id, version)]
        return found if isinstance(found, Workflow) else None

    def _keep(self, key: Pinned, loaded: tuple[Compiled, int]) -> None:
        _, size = self._known.get(key, (None, 0))
        self._bytes += loaded[1] - size
        self._known[key] = loaded
        self._known.move_to_end(key)

    async def _fetch(self, missing: Mapping[Pinned, tuple[Any, int]]) -> dict[Pinned, tuple[Compiled, int]]:
        ids = [{"workflow_id": workflow_id, "version": version} for workflow_id, version in missing.values()]
        found: dict[Pinned, tuple[Compiled, int]] = dict.fromkeys(missing, (None, 0))
        async for document in self._versions.find({"_id": {"$in": ids}}):
            workflow_id, version = document["_id"]["workflow_id"], document["_id"]["version"]
            definition = document.get("definition")
            if isinstance(definition, Mapping):
                compiled = await parsed_aside(self._parse, workflow_id, version, definition)
                found[pinned(workflow_id, version)] = (compiled, len(bson_bytes(definition)))
        return found


def pinned(workflow_id: Any, version: int) -> Pinned:
    """Return the hashable key of a workflow version."""
    return bson_bytes(workflow_id), version
