"""Count runs of one workflow for one entity within an hour, which stops loops through outside systems.

A bounded number of counts is kept in memory; others are counted in the stored executions. An entity is created
once and swept once a run, so creations and sweeps are not counted.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from daemon.stream.entrant import Entrant
from rules.identity import bson_bytes
from rules.trigger import TriggerType

WINDOW: Final = timedelta(hours=1)
CAPACITY: Final = 20_000
_Pair = bytes  # workflow and entity


class Throttle:
    """Holds the times of runs of each (workflow, entity) within the last hour."""

    def __init__(self, executions: AsyncCollection[dict[str, Any]], *, limit: int) -> None:
        """``limit``: runs of one workflow for one entity within an hour."""
        self._executions = executions
        self._limit = limit
        self._runs: dict[_Pair, list[float]] = {}  # in seconds since 1970; the pairs in the order of their last use

    def forget(self) -> None:
        """Drop all counts: a transaction that counted was not committed."""
        self._runs.clear()

    async def load(self, entrants: Iterable[Entrant]) -> None:
        """Count the runs of the pairs that are not known yet, in one query."""
        unknown = [entrant for entrant in entrants if _is_counted(entrant) and _pair(entrant) not in self._runs]
        if not unknown:
            return
        times = [entrant.triggered_at for entrant in unknown]
        for entrant in unknown:
            self._runs[_pair(entrant)] = []
        found = self._executions.find(
            {
                "triggered_by_entity_id": {"$in": [entrant.entity_id for entrant in unknown]},
                "workflow_id": {"$in": list({bson_bytes(e.workflow.id): e.workflow.id for e in unknown}.values())},
                "triggered_at": {"$gt": min(times) - WINDOW, "$lte": max(times) + WINDOW},
            },
            {"triggered_by_entity_type": 1, "triggered_by_entity_id": 1, "workflow_id": 1, "triggered_at": 1},
        )
        async for run in found.sort("triggered_at", 1):
            entity = (run["triggered_by_entity_type"], run["triggered_by_entity_id"])
            runs = self._runs.get(bson_bytes([run["workflow_id"], *entity]))
            if runs is not None:
                runs.append(run["triggered_at"].timestamp())
                del runs[: -self._limit - 1]

    def runs_over_limit(self, entrant: Entrant) -> int | None:
        """Return the number of runs within the hour if it is at the limit; otherwise count this one, return None."""
        if not _is_counted(entrant):
            return None
        pair, at = _pair(entrant), entrant.triggered_at.timestamp()
        runs = self._runs[pair] = self._runs.pop(pair, [])
        del runs[: bisect_right(runs, at - WINDOW.total_seconds())]
        if len(runs) >= self._limit:
            return len(runs)
        runs.append(at)
        while len(self._runs) > CAPACITY:
            del self._runs[next(iter(self._runs))]
        return None


def _is_counted(entrant: Entrant) -> bool:
    by_hand = entrant.request_id is not None
    return not entrant.is_forced and (by_hand or entrant.workflow.trigger.type is TriggerType.FIELD_UPDATED)


def _pair(entrant: Entrant) -> _Pair:
    return bson_bytes([entrant.workflow.id, entrant.entity_type, entrant.entity_id])
