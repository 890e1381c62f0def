"""One transaction, repeated as a whole while MongoDB says that this may help.

Everything is written with majority and the default journaling, the fastest setting that survives a failover
(MONGODB.md, "Driver").
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.mongo_client import AsyncMongoClient
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

MAJORITY: Final = WriteConcern(w="majority")
_SNAPSHOT: Final = ReadConcern("snapshot")
Result = TypeVar("Result")


async def in_transaction(
    client: AsyncMongoClient[Any],
    work: Callable[[AsyncClientSession], Awaitable[Result]],
    *,
    timeout_s: float,
) -> Result:
    """Run ``work`` in one transaction and commit it by majority, all within ``timeout_s`` seconds.

    ``work`` may run several times. Raise what ``work`` raised, or the driver's error when time ran out: then the
    outcome is not known, and the caller must find it out from what is stored.
    """
    with pymongo.timeout(timeout_s):
        async with client.start_session() as session:
            return await session.with_transaction(work, read_concern=_SNAPSHOT, write_concern=MAJORITY)
