"""What the daemon costs while nothing happens: its own processor time and what it makes mongod spend."""

import asyncio
from dataclasses import dataclass
from typing import Final

from benchmarks.contender import Contender, Server, arena
from benchmarks.workload import Workload

_SETTLE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class IdleRun:
    """Percent of one core: all replicas together, mongod beyond its own idle; memory of the largest replica."""

    daemon_percent: float
    mongod_percent: float
    mongod_alone_percent: float
    rss_mb: float


async def idle(server: Server, replicas: int, seconds: float) -> IdleRun:
    """Return what ``replicas`` idle replicas cost, with one workflow active, over ``seconds``."""
    await asyncio.sleep(_SETTLE_S)
    alone = await _mongod_percent(server, seconds)
    async with arena(server, Contender.DAEMON, Workload(), replicas) as stage:
        await asyncio.sleep(_SETTLE_S)
        own = stage.cpu_s()
        beside = await _mongod_percent(server, seconds)
        own = stage.cpu_s() - own
        return IdleRun(own / seconds * 100, beside - alone, alone, stage.rss_mb())


async def _mongod_percent(server: Server, seconds: float) -> float:
    before = server.cpu_s()
    await asyncio.sleep(seconds)
    return (server.cpu_s() - before) / seconds * 100
