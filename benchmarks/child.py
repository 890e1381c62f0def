"""What every child process of the benchmark does: take its orders as JSON, say when it is ready, wait for the word."""

import json
import sys
from typing import Any

from pymongo import AsyncMongoClient

from daemon.mongo.codec import CODEC


def orders() -> dict[str, Any]:
    """Return what the parent process asks for: the first argument, a JSON object."""
    loaded: dict[str, Any] = json.loads(sys.argv[1])
    return loaded


def say(**fields: Any) -> None:
    """Tell the parent process something: one JSON object a line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def wait_for_word() -> None:
    """Return when the parent process says so."""
    if not sys.stdin.readline():
        raise SystemExit("the parent process has ended")


def client_of(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    """Return a client that writes as durably as the daemon's."""
    return AsyncMongoClient(
        uri, w="majority", document_class=dict, tz_aware=True, datetime_conversion=CODEC.datetime_conversion
    )
