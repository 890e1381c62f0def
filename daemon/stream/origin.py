"""The origin of a checkpoint: the replica set and the collection in which it was written.

A server resumes at a position of another cluster without an error (MONGODB.md, "Stream position"), and restored data
beside an old checkpoint would arrive again as creations. Names do not reveal either case. The server gives every
collection a UUID, which needs no further privilege and changes with every restore by documents. The id of the replica
set differs where files were copied, and is compared where the daemon may read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson.timestamp import Timestamp
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from daemon.mongo.failure import is_forbidden


@dataclass(frozen=True, slots=True)
class Origin:
    """``replica_set_id`` and ``collection`` are None where unknown: then they are not compared."""

    replica_set: str
    replica_set_id: str | None = None
    collection: str | None = None

    def difference(self, other: "Origin") -> str | None:
        """Return the difference between ``other`` and this origin, None if there is none."""
        if self.replica_set != other.replica_set:
            return f"replica set '{self.replica_set}', found '{other.replica_set}'"
        for name in ("replica_set_id", "collection"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours is not None and theirs is not None and ours != theirs:
                return f"{name} {ours}, found {theirs}: this is another cluster, or the data was restored"
        return None

    def to_document(self) -> dict[str, Any]:
        """Return the fields of the checkpoint that hold its origin."""
        return {
            "replica_set": self.replica_set,
            "replica_set_id": self.replica_set_id,
            "collection": self.collection,
        }


def origin_from(document: Mapping[str, Any]) -> Origin:
    """Return the origin in a checkpoint; one of an older daemon holds only the replica set."""
    found = {name: document.get(name) for name in ("replica_set_id", "collection")}
    known = {name: value for name, value in found.items() if isinstance(value, str)}
    return Origin(document["replica_set"], **known)


async def present_origin(state: AsyncCollection[dict[str, Any]]) -> tuple[Origin, Timestamp]:
    """Return the present origin of the collection ``state``, and the server's operation time.

    Raise the driver's error if the database does not answer.
    """
    database = state.database
    hello = await database.command("hello")
    origin = Origin(hello.get("setName", ""), await _replica_set_id(database), await _uuid(database, state.name))
    return origin, hello["operationTime"]


async def _replica_set_id(database: AsyncDatabase[dict[str, Any]]) -> str | None:
    try:
        config = await database.client.admin.command("replSetGetConfig")
    except OperationFailure as error:
        if is_forbidden(error):
            return None
        raise
    return str(config["config"].get("settings", {}).get("replicaSetId"))


async def _uuid(database: AsyncDatabase[dict[str, Any]], collection: str) -> str | None:
    command = {"listCollections": 1, "filter": {"name": collection}}
    try:
        found = (await database.command(command))["cursor"]["firstBatch"]
    except OperationFailure as error:
        if is_forbidden(error):
            return None
        raise
    return bytes(found[0]["info"]["uuid"]).hex() if found else None
