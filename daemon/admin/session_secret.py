"""The dashboard's sessions as all replicas share them, in workflow_state: the secret that signs cookies, and ended
sessions.
"""

import secrets
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections

_ID: Final = "secret/dashboard"
_BYTES: Final = 32


class SessionSecret:
    """Reads the secret once and keeps it. Alone it is not enough to forge a cookie: see ``daemon/api/session.py``."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], names: Collections) -> None:
        self._state = database[names.state]
        self._value: bytes | None = None

    async def get(self) -> bytes:
        """Return the secret; the first call on any replica makes it."""
        if self._value is None:
            fresh = {"kind": "secret", "value": secrets.token_bytes(_BYTES)}
            found = await self._state.find_one_and_update(
                {"_id": _ID}, {"$setOnInsert": fresh}, upsert=True, return_document=ReturnDocument.AFTER
            )
            assert found is not None
            self._value = bytes(found["value"])
        return self._value


class EndedSessions:
    """Stores and finds ended sessions, ``{_id: "session/<name>", kind: "session", changed_at}``, until they expire."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], names: Collections) -> None:
        self._state = database[names.state]

    async def add(self, name: str, lasts_s: int) -> None:
        """Note that a session has ended, and forget the ends of more than ``lasts_s`` seconds ago."""
        fresh = {"$setOnInsert": {"kind": "session"}, "$currentDate": {"changed_at": True}}
        await self._state.update_one({"_id": f"session/{name}"}, fresh, upsert=True)
        oldest = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": lasts_s}}
        is_old = {"$expr": {"$lt": ["$changed_at", oldest]}}
        await self._state.delete_many({"kind": "session", "changed_at": {"$type": "date"}, **is_old})

    async def has(self, name: str) -> bool:
        """Return whether a session has ended."""
        return await self._state.find_one({"_id": f"session/{name}"}, {"_id": 1}) is not None
