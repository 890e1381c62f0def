"""Whether the server that MONGODB_URI names can serve the daemon at all: looked at before anything is written to it."""

from collections.abc import Mapping
from typing import Any

from config.error import ConfigError


def check_topology(hello: Mapping[str, Any]) -> None:
    """Raise ConfigError if the answer to ``hello`` is that of a single server; a set or a mongos will do."""
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise ConfigError(
            "MONGODB_URI: expected a replica set, found a single server, which has no change streams and no "
            "transactions; start mongod with --replSet rs0, then run rs.initiate() in mongosh"
        )
