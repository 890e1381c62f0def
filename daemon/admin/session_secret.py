"""The secret that signs the cookies of the dashboard: made once, kept in workflow_state, the same on all replicas."""

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
        """Return the secret; the first who asks makes it."""
        if self._value is None:
            fresh = {"kind": "secret", "value": secrets.token_bytes(_BYTES)}
            found = await self._state.find_one_and_update(
                {"_id": _ID}, {"$setOnInsert": fresh}, upsert=True, return_document=ReturnDocument.AFTER
            )
            assert found is not None
            self._value = bytes(found["value"])
        return self._value
