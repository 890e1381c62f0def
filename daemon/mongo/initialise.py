"""Prepare the CRM's database: collections, indexes, validators, images, presets. ``reflexd init`` and every start.

The preparation is idempotent and changes nothing that is in place already. A part that the server refuses is left out,
with a warning that names the command and the privilege. Only where MongoDB does not answer does it fail.
"""

import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.preset import load_presets
from config.settings import Settings
from daemon.event import Event
from daemon.mongo.capped import create_capped
from daemon.mongo.failure import MISSING_PRIVILEGE_CODE, is_forbidden, is_transient
from daemon.mongo.indexes import Index, IndexWork, wanted_indexes, work_for
from daemon.mongo.transaction import in_transaction
from daemon.mongo.validators import is_replaceable, wanted_validators
from daemon.telemetry import emit

Database = AsyncDatabase[dict[str, Any]]
PRESETS_ID: Final = "presets"
_TRANSACTION_TIMEOUT_S: Final = 30.0
_NAMESPACE_EXISTS: Final = 48
_NAMESPACE_NOT_FOUND: Final = 26


@dataclass(slots=True)
class InitReport:
    """The names of everything just put in place; ``skipped`` holds ``<collection>: <command>: <why>``."""

    collections: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    validators: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    presets: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    without_images: list[str] = field(default_factory=list)  # of all collections that should have them


async def initialise(database: Database, settings: Settings) -> InitReport:
    """Put everything in place and return the report; raise the driver's error when MongoDB does not answer."""
    started = time.monotonic()
    work = _Initialisation(database, settings)
    await work.create_collections()
    await work.put_indexes()
    await work.put_validators()
    await work.enable_images()
    await work.install_presets()
    report = work.report
    emit(
        Event.INIT_DONE,
        collections=report.collections,
        indexes=report.indexes,
        presets=report.presets,
        images=report.images,
        seconds=round(time.monotonic() - started, 3),
    )
    return report


async def restore(database: Database, settings: Settings) -> InitReport:
    """Restore dropped indexes, and images of the existing collections; raise as ``initialise`` does.

    Nothing is logged where everything is in place.
    """
    work = _Initialisation(database, settings)
    await work.read_options()
    await work.put_indexes()
    await work.enable_images(only_existing=True)
    return work.report


class _Initialisation:
    """One run: the options found at its beginning, and the report."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._options: dict[str, Mapping[str, Any]] = {}  # collection name → its options
        self._knows_options = True
        self.report = InitReport()

    async def read_options(self) -> None:
        """Find out which collections there are, and with which options."""
        await self._attempt("*", "listCollections", self._read_options())

    async def create_collections(self) -> None:
        """Create missing collections; a transaction that has to create one would conflict with every other."""
        own = self._settings.collections.model_dump().values()
        await self.read_options()
        for name in (*own, *self._settings.entities.values()):
            if name not in self._options and await self._attempt(name, "createCollection", self._create(name)):
                self._options[name] = {}

    async def put_indexes(self) -> None:
        """Create the indexes that are missing, or apply a changed retention to them; ask once for each collection."""
        for collection, wanted in groupby(wanted_indexes(self._settings), attrgetter("collection")):
            existing: list[Mapping[str, Any]] = []
            if await self._attempt(collection, "listIndexes", self._read_indexes(collection, existing)):
                for index in wanted:
                    await self._put_index(index, existing)

    async def _put_index(self, index: Index, existing: Sequence[Mapping[str, Any]]) -> None:
        work = work_for(index, existing)
        done = False
        if work is IndexWork.CREATE:
            create = self._database[index.collection].create_index(index.keys, **index.options)
            done = await self._attempt(index.collection, "createIndex", create)
        elif work is IndexWork.SET_EXPIRY:
            change = {"name": index.name, "expireAfterSeconds": index.expire_after_s}
            done = await self._attempt(index.collection, "collMod", self._collmod(index.collection, index=change))
        elif work is IndexWork.CONFLICT:
            self._skip(
                index.collection,
                "createIndex",
                f"index '{index.name}': expected keys {dict(index.keys)}, options {index.options}; found another index "
                f"in its place: {next((i for i in existing if i['name'] == index.name), 'same keys, other options')}; "
                "drop that one and run `reflexd init`",
            )
        if done:
            self.report.indexes.append(f"{index.collection}.{index.name}")

    async def put_validators(self) -> None:
        """Set the validators that are not set, and renew older ones of ours."""
        for name, schema in wanted_validators(self._settings.collections).items():
            # Where options cannot be read, the collection may have a validator of somebody else.
            is_known = self._knows_options or name in self.report.collections
            if is_known and is_replaceable(self._options.get(name, {}), schema):
                change = self._collmod(name, validator={"$jsonSchema": dict(schema)}, validationAction="warn")
                if await self._attempt(name, "collMod", change):
                    self.report.validators.append(name)

    async def enable_images(self, *, only_existing: bool = False) -> None:
        """Let entities and workflows keep images of their documents, from now on."""
        for name in (*self._settings.entities.values(), self._settings.collections.workflows):
            if only_existing and name not in self._options:
                continue
            if self._options.get(name, {}).get("changeStreamPreAndPostImages", {}).get("enabled"):
                continue
            change = self._collmod(name, changeStreamPreAndPostImages={"enabled": True})
            if await self._attempt(name, "collMod", change):
                self.report.images.append(name)
            else:
                self.report.without_images.append(name)
                if self._knows_options:  # else images may be on: the warning above says that the options are unknown
                    emit(Event.IMAGES_OFF, collection=name)

    async def install_presets(self) -> None:
        """Insert each preset once in the life of this database; one that was changed or deleted never comes back."""
        install = in_transaction(self._database.client, self._install, timeout_s=_TRANSACTION_TIMEOUT_S)
        await self._attempt(self._settings.collections.workflows, "insert", install)

    async def _install(self, session: AsyncClientSession) -> None:
        names = self._settings.collections
        state, workflows = self._database[names.state], self._database[names.workflows]
        remembered = await state.find_one({"_id": PRESETS_ID}, session=session) or {}
        new = [preset for preset in load_presets() if preset.id not in remembered.get("installed", [])]
        present = {
            found["_id"] async for found in workflows.find({"_id": {"$in": [p.id for p in new]}}, {}, session=session)
        }
        counters = {"execution_count": 0, "success_count": 0, "failure_count": 0}
        missing = [{"_id": preset.id, **preset.document, **counters} for preset in new if preset.id not in present]
        if missing:
            await workflows.insert_many(missing, session=session)
        if new:
            update = {
                "$set": {"kind": PRESETS_ID},
                "$addToSet": {"installed": {"$each": [preset.id for preset in new]}},
            }
            await state.update_one({"_id": PRESETS_ID}, update, upsert=True, session=session)
        self.report.presets = [str(document["name"]) for document in missing]

    async def _read_options(self) -> None:
        try:
            async for found in await self._database.list_collections():
                self._options[found["name"]] = found.get("options", {})
        except OperationFailure as error:
            if is_forbidden(error):  # every user may list the collections that it may read
                names = await self._database.list_collection_names(authorizedCollections=True)
                self._options = {name: {} for name in names}
                self._knows_options = False
            raise

    async def _read_indexes(self, collection: str, into: list[Mapping[str, Any]]) -> None:
        try:
            into.extend([index async for index in await self._database[collection].list_indexes()])
        except OperationFailure as error:
            if error.code != _NAMESPACE_NOT_FOUND:
                raise

    async def _create(self, name: str) -> None:
        try:
            if name == self._settings.collections.announcements:
                await create_capped(self._database, name)
            else:
                await self._database.create_collection(name, check_exists=False)
        except OperationFailure as error:
            if error.code != _NAMESPACE_EXISTS:  # another replica was faster
                raise
            return
        self.report.collections.append(name)

    async def _collmod(self, collection: str, **change: Any) -> None:
        await self._database.command({"collMod": collection, **change})

    async def _attempt(self, collection: str, command: str, work: Awaitable[object]) -> bool:
        """Return whether the work was done; report a refusal, raise the error if MongoDB does not answer."""
        try:
            await work
        except OperationFailure as error:
            if error.code != MISSING_PRIVILEGE_CODE and is_transient(error):
                raise
            self._skip(collection, command, _words_of(error))
            return False
        return True

    def _skip(self, collection: str, command: str, why: str) -> None:
        self.report.skipped.append(f"{collection}: {command}: {why}")
        emit(Event.INIT_SKIPPED, collection=collection, command=command, privilege=_PRIVILEGE[command], error=why)


def _words_of(error: OperationFailure) -> str:
    """Return the server's message, without the command that it repeats."""
    return str((error.details or {}).get("errmsg", error)).partition(" to execute command")[0].strip()


# The action that a role must grant on the collection, by command.
_PRIVILEGE: Final[Mapping[str, str]] = {
    "listCollections": "listCollections (on the database)",
    "createCollection": "createCollection",
    "listIndexes": "listIndexes",
    "createIndex": "createIndex",
    "collMod": "collMod",
    "insert": "insert, update and find",
}

__all__: Sequence[str] = ["Database", "InitReport", "initialise"]
