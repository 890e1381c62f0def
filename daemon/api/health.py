"""Check whether the daemon can do its job; ``/readyz`` shows the reasons why not."""

from collections.abc import Callable
from typing import Any, Final

import pymongo
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.collection_names import Collections
from daemon.admin.standing import clock
from daemon.status import BEHIND
from daemon.stream.checkpoint import CHECKPOINT_ID
from daemon.stream.halt import HALT_ID

_ANSWER_S: Final = 2.0


class Readiness:
    """Checks MongoDB, and the lag of the reader in this process; every replica reports the faults of all."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        *,
        lag_s: Callable[[], float | None],
    ) -> None:
        """``lag_s`` tells how far behind the reader here is."""
        self._database = database
        self._state = database[names.state]
        self._lag_s = lag_s

    async def reasons(self) -> list[str]:
        """Return why the daemon cannot do its job; nothing when it can."""
        reasons: list[str] = []
        lag_s = self._lag_s()
        if lag_s is not None and lag_s > BEHIND.total_seconds():
            reasons.append(f"the stream is read {lag_s:.0f} s late")
        try:
            with pymongo.timeout(_ANSWER_S):
                reasons += await self._stored_reasons()
        except PyMongoError as error:
            reasons.append(f"MongoDB does not answer: {type(error).__name__}")
        return reasons

    async def _stored_reasons(self) -> list[str]:
        reasons: list[str] = []
        gap = await self._state.find_one({"kind": "gap", "acknowledged": False})
        if gap is not None:
            lost = f"from {clock(gap.get('from'))} to {clock(gap.get('to'))}"
            reasons.append(f"history was lost {lost}, and nobody has acknowledged it")
        halt = await self._state.find_one({"_id": HALT_ID})
        if halt is not None:
            reasons.append(f"the reader has halted: {halt.get('error')}")
        idle_s = await self._idle_s()
        if idle_s is not None and idle_s > BEHIND.total_seconds():
            reasons.append(f"the change stream was not read for {idle_s:.0f} s")
        live = {"_id": "lease/reader", "$expr": {"$gt": ["$expires_at", "$$NOW"]}}
        if await self._state.find_one(live, {"_id": 1}) is None:
            reasons.append("no replica reads the change stream")
        return reasons

    async def _idle_s(self) -> float | None:
        """Return the age of the stored position in seconds: the reader stores it at least every 30 s, idle or not."""
        age = {"$cond": [{"$eq": [{"$type": "$saved_at"}, "date"]}, {"$subtract": ["$$NOW", "$saved_at"]}, None]}
        found = await self._state.aggregate([{"$match": {"_id": CHECKPOINT_ID}}, {"$project": {"age_ms": age}}])
        ages = [each["age_ms"] async for each in found]
        return ages[0] / 1000 if ages and ages[0] is not None else None
