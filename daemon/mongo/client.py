"""The MongoDB client, with the options that the promises rest on.

Writes are acknowledged by the majority, dates have a time zone, no document can break decoding, and timeouts notice a
silent network. A client belongs to the event loop that uses it. The reader has a client of its own, because its open
getMore occupies a connection (MONGODB.md, "Driver").
"""

from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from config.error import ConfigError
from config.mongodb_uri import options_named_in, parse_mongodb_uri
from config.settings import Settings
from daemon.mongo.codec import CODEC
from daemon.mongo.driver_wait import repair_waiting

# Defaults; the URI may override them. Times are in milliseconds.
_OPTIONS: Final = {
    "serverSelectionTimeoutMS": 5_000,
    # With "stream" the driver notices a failover only at the next heartbeat, so it would have to check each server
    # twice a second. With "poll" it checks at once when an operation fails, so that a check every five seconds is
    # enough.
    "serverMonitoringMode": "poll",
    "heartbeatFrequencyMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 20_000,
    "waitQueueTimeoutMS": 10_000,
    "maxIdleTimeMS": 20_000,  # closes connections that were opened for a burst or a fault
}
# For readers of the API: few connections, and a time limit for each operation, with the wait for a connection.
_FOR_READERS: Final = {"maxPoolSize": 4, "timeoutMS": 5_000}


def open_client(
    settings: Settings, name: str, *, has_time_limit: bool = True, is_for_readers: bool = False
) -> AsyncMongoClient[dict[str, Any]]:
    """Return a client that connects when it is first used; raise ConfigError when the URI is wrong.

    ``name`` tells the daemon's clients apart in the server's log (``reflexd-<name>``). Without a time limit an
    operation may take as long as it needs: an index on a large collection may take minutes.
    """
    if settings.mongodb_uri is None:
        raise ConfigError("MONGODB_URI: expected the address of a MongoDB replica set, found none")
    uri = settings.mongodb_uri.get_secret_value()
    try:
        names = parse_mongodb_uri(uri).option_names
    except ValueError as error:
        raise ConfigError(f"MONGODB_URI: {error}") from None
    said = {name.lower() for name in names}
    options: dict[str, Any] = {key: value for key, value in _OPTIONS.items() if key.lower() not in said}
    if not has_time_limit:
        options.pop("socketTimeoutMS", None)
    if is_for_readers:
        options |= _FOR_READERS
    repair_waiting()
    try:
        return AsyncMongoClient(
            uri,
            appname=f"reflexd-{name}",
            w="majority",
            document_class=dict,
            tz_aware=True,
            datetime_conversion=CODEC.datetime_conversion,
            unicode_decode_error_handler=CODEC.unicode_decode_error_handler,
            **options,
        )
    except (PyMongoError, ValueError, TypeError, OSError) as error:  # the message may repeat a part of the address
        named = options_named_in(str(error), names)
        raise ConfigError(
            f"MONGODB_URI: {named}expected what the MongoDB driver takes; it refuses this with {type(error).__name__}"
        ) from None
