"""Run a transaction, and repeat it as a whole while MongoDB says that this may help.

A process that is killed in a transaction leaves it open on the server, where it blocks others for up to a minute. So
the reader's and the executor's transactions run in sessions with known ids, which other replicas can end: see
``Transactions``.

Everything is written with majority and the default journaling, the fastest setting that survives a failover
(MONGODB.md, "Driver").
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.mongo_client import AsyncMongoClient
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from daemon.service import cancelled

MAJORITY: Final = WriteConcern(w="majority")
_SNAPSHOT: Final = ReadConcern("snapshot")
_LAST_MOMENT_S: Final = 2.0  # for a transaction to end after its caller was cancelled
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
            return await _to_its_end(session, work)


class Transactions:
    """Runs transactions one after another in one session of the server, which keeps its id.

    A new transaction ends an earlier one that was cut off in this session; ``end_sessions`` ends those of others.
    """

    def __init__(self, client: AsyncMongoClient[Any]) -> None:
        self._client = client
        self._session: AsyncClientSession | None = None

    @property
    def session_id(self) -> Mapping[str, Any]:
        """The id by which ``end_sessions`` knows the session."""
        return self._opened().session_id

    async def run(self, work: Callable[[AsyncClientSession], Awaitable[Result]], *, timeout_s: float) -> Result:
        """Run ``work`` as ``in_transaction`` does. Not for use by more than one task at a time."""
        with pymongo.timeout(timeout_s):
            return await _to_its_end(await self._at_rest(), work)

    async def _at_rest(self) -> AsyncClientSession:
        """Return the session without a transaction: abort one that is still open because its abort was cut off.

        Raise the driver's error if the database does not answer.
        """
        session = self._opened()
        if session.in_transaction:
            await session.abort_transaction()
        return session

    def _opened(self) -> AsyncClientSession:
        if self._session is None:
            self._session = self._client.start_session()
        return self._session


async def _to_its_end(session: AsyncClientSession, work: Callable[[AsyncClientSession], Awaitable[Result]]) -> Result:
    """Run a transaction; when the caller is cancelled meanwhile, first give the transaction a moment to end.

    The driver does not abort a transaction that is cancelled while it commits: it would stay open on the server.
    """
    transaction = asyncio.ensure_future(session.with_transaction(work, read_concern=_SNAPSHOT, write_concern=MAJORITY))
    try:
        return await asyncio.shield(transaction)
    except asyncio.CancelledError:
        await asyncio.wait([transaction], timeout=_LAST_MOMENT_S)
        raise
    finally:
        await cancelled(transaction)  # the session is used again: this transaction must be over by then


async def end_sessions(client: AsyncMongoClient[Any], session_ids: Sequence[Mapping[str, Any]]) -> None:
    """Abort the transactions of another replica; raise the driver's error if the database does not answer.

    A user may always end sessions of the same user. A replica that still runs repeats its transaction.
    """
    if session_ids:
        await client.admin.command("killSessions", list(session_ids))
