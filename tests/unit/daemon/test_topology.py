"""Which servers the daemon refuses, before anything is written to them, and what it says."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo.errors import ConfigurationError, OperationFailure

from config.error import ConfigError
from daemon.mongo.topology import check_server

MEMBER = {"setName": "rs0", "isWritablePrimary": True}
MONGOS = {"msg": "isdbgrid"}
RIGHT = {"version": "6.0.5", "versionArray": [6, 0, 5, 0]}
OLD = {"version": "5.0.4", "versionArray": [5, 0, 4, 0]}


class Server:
    """Answers like one; ``refusal`` is its code for a change stream with images."""

    def __init__(self, hello: Mapping[str, Any] | Exception, info: Mapping[str, Any], refusal: int = 0) -> None:
        self._answers = {"hello": hello, "buildInfo": info}
        self._refusal = refusal

    async def command(self, name: str) -> Mapping[str, Any]:
        answer = self._answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aggregate(self, pipeline: object, **options: object) -> Any:
        if self._refusal:
            raise OperationFailure("no", self._refusal)

        @asynccontextmanager
        async def cursor() -> AsyncIterator[None]:
            yield

        return cursor()


@pytest.mark.parametrize("hello", [MEMBER, MONGOS])
@pytest.mark.parametrize(
    ("info", "refusal"), [(RIGHT, 0), ({"version": "8.0.1", "versionArray": [8, 0, 1, 0]}, 0), (RIGHT, 13)]
)
async def test_a_set_and_a_mongos_that_are_new_enough_will_do(hello: Any, info: Any, refusal: int) -> None:
    server: Any = Server(hello, info, refusal)
    await check_server(server)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server(MEMBER, OLD), "expected a replica set of MongoDB 6.0 or later, found 5.0.4"),
        (Server(MONGOS, OLD), "expected a replica set of MongoDB 6.0 or later, found 5.0.4"),
        (
            Server(MEMBER, RIGHT, 2),
            "found 6.0.5 with a featureCompatibilityVersion below 6.0; an admin runs",
        ),
        (Server({}, RIGHT), "found a single server, .* start mongod with --replSet rs0, then run rs.initiate"),
        (Server({"isreplicaset": True}, RIGHT), "found a single server, .* no transactions; run rs.initiate"),
        (
            Server(ConfigurationError("wire version 7"), OLD),
            "6.0 or later; the driver refuses this one",
        ),
    ],
)
async def test_a_server_that_the_daemon_cannot_work_with_is_refused_in_one_sentence(server: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await check_server(server)
