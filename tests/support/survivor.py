"""A replica that has to live through a fault: quiet, honest about its health, and well again afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.invariants import violations
from tests.support.load import Load
from tests.support.noise import errors
from tests.support.poll import eventually
from tests.support.prober import probing
from tests.support.replica import Replica, replicas_ended

LEASE_S: Final = 2.0
AWAY: Final = "MongoDB does not answer"


@asynccontextmanager
async def replica_on(
    uri: str, load: Load, directory: Path, *, reason: str = "", **settings: Any
) -> AsyncIterator[Replica]:
    """Yield a replica that reads and is asked for its health; at the end it must be well, and have been quiet.

    ``reason`` is one that it must have given meanwhile for not being ready.
    """
    settings = {"lease_s": LEASE_S, **settings}
    replica = Replica(uri, load.database.name, directory, "replica", is_watched=True, **settings)
    async with replicas_ended(replica), probing(replica) as prober:
        await replica.start()
        await eventually(lambda: load.database.workflow_state.find_one({"_id": "checkpoint"}))
        await prober.all_ready()
        load.witnesses += [replica, prober]
        yield replica
        assert replica.is_alive, replica.tail()
        await prober.all_ready()
        await eventually(replica.leaks_no_socket)
        assert any(given.startswith(reason) for given in prober.reasons()) or not reason, prober.reasons()
        assert await violations(load.database, None, load.expected()) == []
        assert errors(replica.lines()) == []
        assert await replica.stop() == 0


async def settled(load: Load) -> None:
    await load.done()
    found = await violations(load.database, load.since, load.expected())
    assert not found, "\n".join(found[:20])
