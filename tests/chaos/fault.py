"""The faults of a chaos run: each is one coroutine that breaks something and mends it again."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final

from daemon.crash_point import CrashPoint
from tests.support.replica import Replica
from tests.support.replica_set import ReplicaSet
from tests.support.smtp import MailServer
from tests.support.tcp_proxy import Network

Fault = Callable[[], Coroutine[Any, Any, None]]
_REPEAT_S: Final = 3.0  # how long something stays broken at the most


class Faults:
    """What can go wrong, by name; ``random`` chooses whom it hits and for how long."""

    def __init__(
        self, random: Random, replica_set: ReplicaSet, replicas: Sequence[Replica], mails: MailServer, lease_s: float
    ) -> None:
        self._random = random
        self._replica_set = replica_set
        self._replicas = replicas
        self._mails = mails
        self._lease_s = lease_s
        self.by_name: dict[str, Fault] = {
            "replica killed": self.kill,
            "replica killed at a crash point": self.crash,
            "replica frozen": self.freeze,
            "replica stopped": self.stop,
            "primary stepped down": replica_set.step_down,
            "primary killed": self.kill_primary,
            "node cut off": self.cut_off,
            "connections reset": self.reset,
            "network slow": self.slow,
            "mail refused for now": self.refuse_mail,
            "mail in doubt": self.drop_mail,
        }

    def _replica(self) -> Replica:
        return self._random.choice(self._replicas)

    async def _for_a_while(self, longest_s: float = _REPEAT_S) -> None:
        await asyncio.sleep(self._random.uniform(0.2, longest_s))

    async def kill(self) -> None:
        replica = self._replica()
        replica.kill()
        await self._for_a_while()
        replica.spawn()

    async def crash(self) -> None:
        """Restart a replica so that it dies at a crash point; start it again if it did."""
        replica = self._replica()
        replica.kill()
        points = [point for point in CrashPoint if point is not CrashPoint.FIRST_START]
        replica.spawn(crash_at=f"{self._random.choice(points)}:{self._random.randint(1, 20)}")
        await self._for_a_while(2 * _REPEAT_S)
        replica.kill()
        replica.spawn()

    async def freeze(self) -> None:
        replica = self._replica()
        if replica.is_alive:
            replica.freeze()
            await self._for_a_while(2 * self._lease_s)
            replica.thaw()

    async def stop(self) -> None:
        replica = self._replica()
        if replica.is_alive:
            replica.signal(signal.SIGTERM)
            await self._for_a_while()
            replica.kill()
        replica.spawn()

    async def kill_primary(self) -> None:
        node = await self._replica_set.kill_primary()
        await self._for_a_while()
        node.spawn()
        await self._replica_set.healthy()

    async def cut_off(self) -> None:
        proxy = self._random.choice(self._replica_set.nodes).proxy
        assert proxy is not None
        proxy.network = self._random.choice([Network.BLACK_HOLE, Network.HALF_OPEN])
        await self._for_a_while(2 * _REPEAT_S)
        proxy.heal()

    async def reset(self) -> None:
        proxy = self._random.choice(self._replica_set.nodes).proxy
        assert proxy is not None
        proxy.cut()

    async def slow(self) -> None:
        proxy = self._random.choice(self._replica_set.nodes).proxy
        assert proxy is not None
        proxy.delay_s = self._random.uniform(0.001, 0.02)
        await self._for_a_while()
        proxy.delay_s = 0.0

    async def refuse_mail(self) -> None:
        self._mails.behaviour.recipient = "451 later, please"
        await self._for_a_while(1.0)
        self._mails.behaviour.recipient = "250 OK"

    async def drop_mail(self) -> None:
        self._mails.behaviour.data = "drop"
        await self._for_a_while(1.0)
        self._mails.behaviour.data = "250 OK"
