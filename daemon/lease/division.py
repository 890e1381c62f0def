"""Refuse to start with a number of lanes that differs from the one by which this database's work is divided.

A lane follows from the entity and from how many lanes there are. Under two numbers at once, steps of one entity would
run in two lanes, out of order, and steps in lanes that no longer exist would never run (promises 1 and 3).
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from config.error import ConfigError

_LANES: Final = {"kind": "lease", "_id": {"$regex": "^lease/lane/"}}
_LIVE: Final[Mapping[str, Any]] = {"kind": "replica", "$expr": {"$gt": ["$expires_at", "$$NOW"]}}
_UNFINISHED: Final = ({"status": {"$in": ["running", "waiting", "held"]}}, {"due_at": {"$type": "date"}})


async def check_division(
    state: AsyncCollection[dict[str, Any]], executions: AsyncCollection[dict[str, Any]], lanes: int
) -> None:
    """Take ``lanes`` as the number of lanes from now on; raise ConfigError where that would lose or mix up work.

    The leases tell the former number. It may change while no replica runs and no execution waits. Raise the driver's
    error if the database does not answer.
    """
    found = await state.count_documents(_LANES)
    if found in (0, lanes):
        return
    unfinished = [await executions.find_one(query, {"_id": 1}) for query in _UNFINISHED]
    if any(unfinished) or await state.find_one(_LIVE, {"_id": 1}):
        raise ConfigError(
            f"REFLEXD_LANES: expected {found}, by which the work of this database is divided, found {lanes}; "
            "it may change only while no replica runs and no execution waits"
        )
    await state.delete_many(_LANES)
