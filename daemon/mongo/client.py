"""The MongoDB client, with the options that the promises rest on.

Majority writes, time-zone aware dates, decoding that no document can break, and timeouts that notice a silent
network. A client belongs to the event loop it is used on; the reader gets one of its own, because its open
getMore holds a connection (MONGODB.md, "Driver").
"""

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from config.error import ConfigError
from config.redaction import redacted
from config.settings import Settings
from daemon.mongo.codec import CODEC

STREAM_AWAIT_S: Final = 1.0  # how long the server may hold the stream's getMore: the socket timeout is far above it

# What the URI may say otherwise. In milliseconds.
_TIMEOUTS: Final = {
    "serverSelectionTimeoutMS": 5_000,
    # After an error that a primary may answer with, the driver waits for the next heartbeat: ten seconds by default.
    "heartbeatFrequencyMS": 1_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 20_000,
    "waitQueueTimeoutMS": 10_000,
    "maxIdleTimeMS": 20_000,  # what a burst or a fault made the pool open is closed again
}


def open_client(settings: Settings, name: str, *, is_patient: bool = False) -> AsyncMongoClient[dict[str, Any]]:
    """Return a client that connects when it is first used; raise ConfigError when the URI is wrong.

    ``name`` tells the daemon's clients apart in the server's log (``reflexd-<name>``). A patient client waits as
    long as an operation takes: an index on a large collection may take minutes.
    """
    if settings.mongodb_uri is None:
        raise ConfigError("MONGODB_URI: expected the address of a MongoDB replica set, found none")
    uri = settings.mongodb_uri.get_secret_value()
    said = {key.lower() for key, _ in parse_qsl(urlsplit(uri).query)}
    timeouts: dict[str, Any] = {key: value for key, value in _TIMEOUTS.items() if key.lower() not in said}
    if is_patient:
        timeouts.pop("socketTimeoutMS", None)
    try:
        return AsyncMongoClient(
            uri,
            appname=f"reflexd-{name}",
            w="majority",
            document_class=dict,
            tz_aware=True,
            datetime_conversion=CODEC.datetime_conversion,
            unicode_decode_error_handler=CODEC.unicode_decode_error_handler,
            **timeouts,
        )
    except (PyMongoError, ValueError) as error:  # the driver checks some options by ValueError
        raise ConfigError(f"MONGODB_URI: expected a valid MongoDB URI: {redacted(str(error))}") from None
