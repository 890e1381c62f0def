"""Asks /healthz and /readyz as an operator's probe does while a test breaks things, and finds every lie (I8).

What is true it finds out by itself: it asks MongoDB the same way as the replicas do, and knows when they were
killed, frozen or stopped.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from daemon.service import cancelled
from tests.support.poll import eventually
from tests.support.replica import Replica

HEALTHZ_S: Final = 10.0  # a process that lives answers within this time, on a machine that others use too
READYZ_S: Final = 12.0  # as above; it may wait two seconds for MongoDB
UNREACHABLE_S: Final = 6.0  # MongoDB was away for so long: not ready
HEALED_S: Final = 30.0  # everything was well for so long: ready
LASTING_S: Final = 10.0  # a busy machine may starve a lease for a moment: that there is no reader is true then
_EVERY_S: Final = 0.25
_DYING_S: Final = 1.0  # between a connection that broke and the end of the process that is seen
_LOOK_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Look:
    """What MongoDB said to the prober itself; times of the monotonic clock, in seconds."""

    began: float
    ended: float
    is_reachable: bool
    has_gap: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one replica said; ``status`` is None where it said nothing."""

    replica: str
    path: str
    began: float
    ended: float
    status: int | None
    reasons: tuple[str, ...]
    well_since: float  # when a replica was killed, frozen, thawed, stopped or started last
    error: str = ""  # why nothing was said

    def __str__(self) -> str:
        said = self.status if self.status is not None else f"nothing ({self.error})"
        return f"{self.replica} said {said} {list(self.reasons)} to {self.path} in {self.ended - self.began:.2f} s"


@dataclass
class Prober:
    """What was asked and answered so far."""

    replicas: Sequence[Replica]
    looks: list[Look] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)  # only of replicas that could answer
    _answered: set[tuple[str, int]] = field(default_factory=set)

    def breaches(self) -> list[str]:
        """Return a sentence for every lie."""
        return [f"I8: {answer}, {lie}" for answer in self.answers for lie in self._lies(answer)]

    def reasons(self) -> set[str]:
        """Return every reason that was given for not being ready."""
        return {reason for answer in self.answers for reason in answer.reasons}

    async def all_ready(self) -> None:
        """Return once every replica that is awake says that it is ready."""
        began = time.monotonic()

        async def look() -> bool:
            last = {answer.replica: answer for answer in self.answers if answer.path == "/readyz"}
            awake = [last.get(replica.name) for replica in self.replicas if replica.is_awake]
            assert all(answer is not None and answer.began > began and answer.status == 200 for answer in awake), last
            return True

        await eventually(look, HEALED_S + READYZ_S)

    def _lies(self, answer: Answer) -> Iterator[str]:
        took_s = answer.ended - answer.began
        if answer.path == "/healthz":
            if answer.status != 200 or took_s > HEALTHZ_S:
                yield "and the process was alive"
            return
        if answer.status not in (200, 503) or took_s > READYZ_S:
            yield "which is no answer"
        elif answer.status == 503 and not answer.reasons:
            yield "without a reason"
        elif answer.status == 200 and self._was_unreachable(answer):
            yield f"and MongoDB had not answered for {UNREACHABLE_S} s"
        elif answer.status == 200 and self._had_gap(answer):
            yield "and history was lost"
        elif answer.status == 503 and self._was_well(answer) and self._has_lasted(answer):
            yield f"as for {LASTING_S} s, and everything had been well for {HEALED_S} s"

    def _during(self, since: float, until: float) -> list[Look]:
        """Return the looks at any moment of a time, and the first one behind it."""
        late = [look for look in self.looks if look.ended >= since]
        within = [look for look in late if look.began <= until]
        return [*within, *late[len(within) : len(within) + 1]]

    def _was_unreachable(self, answer: Answer) -> bool:
        looks = self._during(answer.began - UNREACHABLE_S, answer.ended)
        covers = bool(looks) and looks[0].began <= answer.began - UNREACHABLE_S and looks[-1].began > answer.ended
        return covers and not any(look.is_reachable for look in looks)

    def _had_gap(self, answer: Answer) -> bool:
        looks = [look for look in self._during(answer.began - 1, answer.ended) if look.is_reachable]
        return len(looks) > 1 and all(look.has_gap for look in looks) and looks[0].ended <= answer.began

    def _was_well(self, answer: Answer) -> bool:
        since = answer.began - HEALED_S
        looks = self._during(since, answer.ended)
        covers = bool(looks) and looks[0].began <= since and answer.well_since <= since
        return covers and all(look.is_reachable and not look.has_gap for look in looks)

    def _has_lasted(self, answer: Answer) -> bool:
        """Return whether the same replica has said that it is not ready for some time."""
        before = [each for each in self.answers if (each.replica, each.path) == (answer.replica, answer.path)]
        lately = [each for each in before if answer.began - LASTING_S <= each.began <= answer.began]
        is_long = any(each.began < answer.began - LASTING_S for each in before)
        return is_long and all(each.status == 503 for each in lately)

    async def ask(self, replica: Replica, path: str, client: httpx2.AsyncClient) -> None:
        """Ask one replica once; what it cannot be blamed for is not kept."""
        life, was_awake, well_since = replica.life, replica.is_awake, max(each.touched_at for each in self.replicas)
        had_answered = (replica.name, life) in self._answered  # before, its server may not listen yet
        began, status, reasons, error = time.monotonic(), None, (), ""
        try:
            response = await client.get(f"http://127.0.0.1:{replica.api_port}{path}")
            status = response.status_code
            reasons = tuple(response.json().get("reasons", ()))
        except httpx2.HTTPError as failure:
            error = f"{type(failure).__name__}: {failure}"
        ended = time.monotonic()
        if status is None:
            await asyncio.sleep(_DYING_S)
        else:
            self._answered.add((replica.name, life))
        is_same = was_awake and replica.is_awake and replica.touched_at < began
        if is_same and (had_answered or status is not None):
            self.answers.append(Answer(replica.name, path, began, ended, status, reasons, well_since, error))

    async def look(self, client: AsyncMongoClient[dict[str, Any]], database: str) -> None:
        """See for oneself whether MongoDB answers."""
        began = time.monotonic()
        try:
            state = client[database]["workflow_state"]
            await state.find_one({"_id": "lease/reader"}, {"_id": 1})
            gap = await state.find_one({"kind": "gap", "acknowledged": False}, {"_id": 1})
        except PyMongoError:
            self.looks.append(Look(began, time.monotonic(), is_reachable=False))
        else:
            self.looks.append(Look(began, time.monotonic(), is_reachable=True, has_gap=gap is not None))


@asynccontextmanager
async def probing(*replicas: Replica) -> AsyncIterator[Prober]:
    """Ask ``replicas`` several times a second until the end."""
    prober = Prober(replicas)
    timeouts = ("timeoutMS", "serverSelectionTimeoutMS", "connectTimeoutMS")
    options: dict[str, Any] = {**dict.fromkeys(timeouts, _LOOK_MS), "heartbeatFrequencyMS": 500}
    mongo: AsyncMongoClient[dict[str, Any]]
    async with (
        AsyncMongoClient(replicas[0].uri, **options) as mongo,
        httpx2.AsyncClient(trust_env=False, timeout=READYZ_S + 2, headers={"Connection": "close"}) as http,
    ):

        async def ask_on(replica: Replica, path: str) -> None:
            while True:
                await prober.ask(replica, path, http)
                await asyncio.sleep(_EVERY_S)

        async def look_on() -> None:
            while True:
                await prober.look(mongo, replicas[0].database)
                await asyncio.sleep(_EVERY_S)

        asking = [ask_on(replica, path) for replica in replicas for path in ("/healthz", "/readyz")]
        tasks = [asyncio.create_task(each, name="prober") for each in (*asking, look_on())]
        try:
            yield prober
            for task in tasks:
                assert not task.done(), task
        finally:
            await cancelled(*tasks)  # a look may lose the question in the driver
