"""The doctor's checks of collections: images, validators, announcements, indexes.

The daemon's user may lack the right to read some of them. Then the check names the missing right and the command with
which an admin looks, and its ``mend`` is the command that grants the right.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.settings import Settings
from daemon.admin.check import Check, Rating
from daemon.admin.privilege import granting_command
from daemon.mongo.capped import CAPPED_BYTES
from daemon.mongo.failure import is_forbidden
from daemon.mongo.indexes import IndexWork, wanted_indexes, work_for
from daemon.mongo.validators import is_replaceable, wanted_validators

_INIT: Final = "reflexd init"
_NAMESPACE_NOT_FOUND: Final = 26
_OF_COLLECTIONS: Final = ("images", "validators", "announcements")

Options = Mapping[str, Mapping[str, Any]]  # collection → its options


class Structure:
    """Checks one database. ``auth`` is the part ``authInfo`` of ``connectionStatus``."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], settings: Settings, auth: Mapping[str, Any]) -> None:
        self._database = database
        self._settings = settings
        self._auth = auth

    async def collections(self) -> list[Check]:
        """Return a check each of images, validators and announcements."""
        try:
            options = {each["name"]: each.get("options", {}) async for each in await self._database.list_collections()}
        except OperationFailure as error:
            if not is_forbidden(error):
                raise
            look = "db.getCollectionInfos().map(c => [c.name, c.options])"
            says = f"cannot be looked at without listCollections on the database; an admin sees them with {look}"
            mend = self._granting({"": ("listCollections",)})
            return [Check(name, Rating.WARNING, says, mend) for name in _OF_COLLECTIONS]
        return [self._images(options), self._validators(options), self._announcements(options)]

    async def indexes(self) -> list[Check]:
        """Return the check of indexes, and one of those that cannot be seen."""
        missing: list[str] = []
        hidden: dict[str, tuple[str, ...]] = {}
        existing: dict[str, list[Mapping[str, Any]]] = {}
        for index in wanted_indexes(self._settings):
            name = index.collection
            if name not in existing and name not in hidden:
                await self._read_indexes(name, existing, hidden)
            if name in existing and work_for(index, existing[name]) is not IndexWork.NOTHING:
                missing.append(f"{name}.{index.name}")
        checks = []
        if missing:
            checks = [Check("indexes", Rating.FAILED, f"missing or different: {', '.join(missing)}", _INIT)]
        if hidden:
            look = "; ".join(f"db.getCollection({json.dumps(name)}).getIndexes()" for name in hidden)
            says = f"of {', '.join(hidden)} cannot be looked at without listIndexes; an admin sees them with {look}"
            checks.append(Check("indexes", Rating.WARNING, says, self._granting(hidden)))
        return checks or [Check("indexes", Rating.OK, "all in place")]

    def _images(self, options: Options) -> Check:
        kept = [*self._settings.entities.values(), self._settings.collections.workflows]
        off = [
            name for name in kept if not options.get(name, {}).get("changeStreamPreAndPostImages", {}).get("enabled")
        ]
        if not off:
            return Check("images", Rating.OK, f"kept by {', '.join(kept)}")
        says = f"not kept by {', '.join(off)}: from, to and changed are unknown there"
        keep = {"changeStreamPreAndPostImages": {"enabled": True}}
        commands = "; ".join(f"db.runCommand({json.dumps({'collMod': name, **keep})})" for name in off)
        return Check("images", Rating.WARNING, says, f"{_INIT}, or in mongosh: {commands}")

    def _validators(self, options: Options) -> Check:
        wanted = wanted_validators(self._settings.collections)
        stale = [name for name, schema in wanted.items() if is_replaceable(options.get(name, {}), schema)]
        if stale:
            return Check("validators", Rating.WARNING, f"missing on {', '.join(stale)}", _INIT)
        return Check("validators", Rating.OK, "in place: they only warn")

    def _announcements(self, options: Options) -> Check:
        name = self._settings.collections.announcements
        if options.get(name, {}).get("capped"):
            return Check("announcements", Rating.OK, "capped: replicas tell one another when there is work")
        if name in options:
            says, command = "is not capped", {"convertToCapped": name, "size": CAPPED_BYTES}
        else:
            says, command = "is missing", {"create": name, "capped": True, "size": CAPPED_BYTES}
        mend = f"{_INIT}, or in mongosh: db.runCommand({json.dumps(command)})"
        return Check("announcements", Rating.WARNING, f"{name} {says}: replicas poll instead", mend)

    async def _read_indexes(
        self, name: str, existing: dict[str, list[Mapping[str, Any]]], hidden: dict[str, tuple[str, ...]]
    ) -> None:
        """Put the indexes of a collection into one of the two."""
        try:
            existing[name] = [index async for index in await self._database[name].list_indexes()]
        except OperationFailure as error:
            if is_forbidden(error):
                hidden[name] = ("listIndexes",)
            elif error.code == _NAMESPACE_NOT_FOUND:
                existing[name] = []
            else:
                raise

    def _granting(self, missing: Mapping[str, tuple[str, ...]]) -> str:
        if not self._auth.get("authenticatedUsers"):
            return ""
        return granting_command(self._auth, missing, self._database.name)
