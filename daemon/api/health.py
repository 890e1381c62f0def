"""Whether the daemon can do its job, with reasons: what ``/readyz`` tells."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import pymongo
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.collection_names import Collections
from config.plain import timestamp
from daemon.status import BEHIND

_ANSWER_S: Final = 2.0


class Readiness:
    """Asks MongoDB and the reader of this process."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        *,
        halted: Callable[[], str | None],
        lag_s: Callable[[], float | None],
    ) -> None:
        """``halted`` tells why the reader here has stopped for good, ``lag_s`` how far behind it is."""
        self._database = database
        self._state = database[names.state]
        self._halted = halted
        self._lag_s = lag_s

    async def reasons(self) -> list[str]:
        """Return why the daemon cannot do its job; nothing when it can."""
        reasons: list[str] = []
        halted, lag_s = self._halted(), self._lag_s()
        if halted is not None:
            reasons.append(f"the reader has halted: {halted}")
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
            lost = f"from {_clock(gap.get('from'))} to {_clock(gap.get('to'))}"
            reasons.append(f"history was lost {lost}, and nobody has acknowledged it")
        live = {"_id": "lease/reader", "$expr": {"$gt": ["$expires_at", "$$NOW"]}}
        if await self._state.find_one(live, {"_id": 1}) is None:
            reasons.append("no replica reads the change stream")
        return reasons


def _clock(at: object) -> str:
    return timestamp(at) if isinstance(at, datetime) else "an unknown time"
