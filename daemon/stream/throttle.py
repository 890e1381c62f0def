"""Count runs of one workflow for one entity within an hour: what stops loops through outside systems.

Counts live in memory, a bounded number of them; what is not known is counted in the history. An entity is created
once and swept once a run, so creations and sweeps are not counted.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from daemon.stream.entrant import Entrant
from rules.identity import bson_bytes
from rules.trigger import TriggerType

WINDOW: Final = timedelta(hours=1)
CAPACITY: Final = 20_000
_Pair = tuple[bytes, bytes]  # workflow, entity


class Throttle:
    """Knows when each (workflow, entity) ran within the last hour."""

    def __init__(self, executions: AsyncCollection[dict[str, Any]], *, limit: int) -> None:
        """``limit``: runs of one workflow for one entity within an hour."""
        self._executions = executions
        self._limit = limit
        self._runs: OrderedDict[_Pair, deque[datetime]] = OrderedDict()

    def forget(self) -> None:
        """Drop all counts: a transaction that counted was not committed."""
        self._runs.clear()

    async def load(self, entrants: Iterable[Entrant]) -> None:
        """Count the runs of the pairs that are not known yet, in one query."""
        unknown = [entrant for entrant in entrants if _is_counted(entrant) and _pair(entrant) not in self._runs]
        if not unknown:
            return
        since = min(entrant.triggered_at for entrant in unknown) - WINDOW
        for entrant in unknown:
            self._runs[_pair(entrant)] = deque(maxlen=self._limit + 1)
        found = self._executions.find(
            {
                "triggered_by_entity_id": {"$in": [entrant.entity_id for entrant in unknown]},
                "workflow_id": {"$in": list({bson_bytes(e.workflow.id): e.workflow.id for e in unknown}.values())},
                "triggered_at": {"$gt": since},
            },
            {"triggered_by_entity_type": 1, "triggered_by_entity_id": 1, "workflow_id": 1, "triggered_at": 1},
        )
        async for run in found.sort("triggered_at", 1):
            entity = (run["triggered_by_entity_type"], run["triggered_by_entity_id"])
            runs = self._runs.get((bson_bytes(run["workflow_id"]), bson_bytes(list(entity))))
            if runs is not None:
                runs.append(run["triggered_at"])

    def runs_over_limit(self, entrant: Entrant) -> int | None:
        """Return the number of runs within the hour if it is at the limit; otherwise count this one, return None."""
        if not _is_counted(entrant):
            return None
        pair = _pair(entrant)
        runs = self._runs.setdefault(pair, deque(maxlen=self._limit + 1))
        self._runs.move_to_end(pair)
        while runs and runs[0] <= entrant.triggered_at - WINDOW:
            runs.popleft()
        if len(runs) >= self._limit:
            return len(runs)
        runs.append(entrant.triggered_at)
        while len(self._runs) > CAPACITY:
            self._runs.popitem(last=False)
        return None


def _is_counted(entrant: Entrant) -> bool:
    by_hand = entrant.request_id is not None
    return not entrant.is_forced and (by_hand or entrant.workflow.trigger.type is TriggerType.FIELD_UPDATED)


def _pair(entrant: Entrant) -> _Pair:
    return bson_bytes(entrant.workflow.id), bson_bytes([entrant.entity_type, entrant.entity_id])
