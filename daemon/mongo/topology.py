"""Check that the server can serve the daemon, before anything is written to it.

The daemon needs a replica set or a mongos of MongoDB 6.0 or later (MONGODB.md, "Measured later"): older ones, and newer
ones that are held to an older feature set, keep no images and refuse the change stream and the partial indexes.
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, OperationFailure

from config.error import ConfigError
from config.redaction import redacted

OLDEST: Final = (6, 0)
RAISE_FEATURES: Final = 'db.adminCommand({setFeatureCompatibilityVersion: "6.0"})'
_WANTED: Final = "MONGODB_URI: expected a replica set of MongoDB 6.0 or later"
_BAD_VALUE: Final = 2


async def check_server(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Raise ConfigError, in one sentence, if the daemon cannot work with this server."""
    try:
        hello = await database.command("hello")
    except ConfigurationError as error:  # a server too old for the driver, or a name that DNS does not know
        raise ConfigError(f"{_WANTED}; the driver refuses this one: {redacted(str(error))}") from None
    check_topology(hello)
    info = await database.command("buildInfo")
    version = str(info["version"])
    if is_too_old(info):
        raise ConfigError(f"{_WANTED}, found {version}, which keeps no images of documents; upgrade the servers")
    if await is_held_back(database):
        raise ConfigError(
            f"{_WANTED}, found {version} with a featureCompatibilityVersion below 6.0; an admin runs {RAISE_FEATURES}"
        )


def check_topology(hello: Mapping[str, Any]) -> None:
    """Raise ConfigError if the answer to ``hello`` is that of a single server; a set or a mongos will do."""
    if "setName" in hello or hello.get("msg") == "isdbgrid":
        return
    start = "" if hello.get("isreplicaset") else "start mongod with --replSet rs0, then "
    raise ConfigError(
        f"MONGODB_URI: expected a replica set, found a single server, which has no change streams and no "
        f"transactions; {start}run rs.initiate() in mongosh"
    )


def is_too_old(info: Mapping[str, Any]) -> bool:
    """Return whether the answer to ``buildInfo`` is that of a server that is older than 6.0."""
    return tuple(info["versionArray"][:2]) < OLDEST


async def is_held_back(database: AsyncDatabase[dict[str, Any]]) -> bool:
    """Return whether the server is of 6.0 or later but held to an older feature set.

    The daemon's user may not read that setting, so the check asks for a change stream with images, which such a server
    refuses.
    """
    try:
        async with await database.aggregate([{"$changeStream": {"fullDocument": "whenAvailable"}}], maxAwaitTimeMS=1):
            return False
    except OperationFailure as error:
        return error.code == _BAD_VALUE  # other refusals are reported by the services that meet them
