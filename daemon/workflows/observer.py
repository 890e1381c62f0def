"""Answer back in the workflow documents: what the daemon observed, and the counters (promise 5).

``observed`` is ``{state, version, error, ignored, in_flight, held, at}``, written after the commit from
workflow_versions, and reconciled when this replica becomes the reader. Counters are mirrored at most once a second.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.status import Status
from daemon.metrics import Metrics
from daemon.mongo.failure import is_transient
from daemon.poll import Pause, Signal, regular
from daemon.telemetry import emit
from daemon.versions.stored import LIVING
from rules.identity import bson_bytes
from rules.other_key import MOST_KEYS, other_keys

_PAUSE_S: Final = 1.0
_ELSEWHERE_S: Final = 3.0  # how often counters are polled that other replicas may have moved
_PAGE: Final = 500
# Only the name of a definition, to see whether there is one: the largest take milliseconds to decode.
_FIELDS: Final = {"workflow_id": 1, "version": 1, "status": 1, "error": 1, "definition.name": 1}
_KEYS: Final = {
    "$slice": [{"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.k"}}, MOST_KEYS + 1]
}  # of the document as it is; with more keys it is invalid
_IS_OURS: Final = {"$lte": [{"$bsonSize": "$observed"}, 128 * 1024]}  # a value that somebody wrote there may be larger
_OBSERVED: Final = {
    "$cond": [{"$eq": [{"$type": "$observed"}, "object"]}, {"$cond": [_IS_OURS, "$observed", None]}, None]
}
_KEY_CHARACTERS: Final = 100
_LOGGED: Final = 10  # refusals of one bulk write
_OVERLAP: Final = timedelta(seconds=5)


class Observer:
    """Writes the state of workflows into their documents, while this replica is the reader."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        clock: ServerClock,
        metrics: Metrics,
        *,
        lanes: int,
    ) -> None:
        self._workflows = database[names.workflows]
        self._versions = database[names.versions]
        self._executions = database[names.executions]
        self._state = database[names.state]
        self._clock = clock
        self._metrics = metrics
        self._mirrored_ends = -1
        self._looked_at = 0.0
        self._lanes = lanes
        self._changed: dict[bytes, Any] = {}
        self._must_reconcile = True
        self._mirrored_at: datetime | None = None
        self.signal = Signal()  # there is something to be answered

    def note(self, workflow_ids: Iterable[Any], *, at_once: bool = True) -> None:
        """Answer back for these workflows, at once or within a second: a program may save a document all the time."""
        for workflow_id in workflow_ids:
            self._changed[bson_bytes(workflow_id)] = workflow_id
        if at_once:
            self.signal.send()

    def reconcile(self) -> None:
        """Compare all documents with the versions at the next poll: an answer may have been lost with a reader."""
        self._must_reconcile = True

    async def poll(self) -> Pause:
        """Answer what is to be answered, and mirror the counters; raise the driver's error."""
        await self._answer()
        await self._mirror_if_needed()
        return regular(_PAUSE_S, time.monotonic())

    async def _answer(self) -> None:
        if self._must_reconcile:
            async for version in self._versions.find(LIVING, {"workflow_id": 1}):
                self._changed.setdefault(bson_bytes(version["workflow_id"]), version["workflow_id"])
            self._must_reconcile = False
        while self._changed:
            page = dict(list(self._changed.items())[:_PAGE])
            for key in page:  # before the poll: a workflow that is noted during it is answered again
                del self._changed[key]
            try:
                await self._answer_page(list(page.values()))
                await self._write_counts(list(page.values()))
            except BaseException:
                self._changed = {**page, **self._changed}
                raise

    async def _answer_page(self, ids: list[Any]) -> None:
        counts = await self._counts(ids)
        found = self._workflows.find({"_id": {"$in": ids}}, {"observed": _OBSERVED, "keys": _KEYS})
        stored = {bson_bytes(document["_id"]): document async for document in found}
        writes = []
        async for version in self._versions.find({"workflow_id": {"$in": ids}, "latest": True}, _FIELDS):
            key = bson_bytes(version["workflow_id"])
            if key not in stored:
                continue
            observed = observed_of(version, counts.get(key, {}), stored[key]["keys"])
            if not _says(stored[key].get("observed"), observed):
                observed["at"] = self._clock.now()
                writes.append(UpdateOne({"_id": version["workflow_id"]}, {"$set": {"observed": observed}}))
        if writes and CRASH_AT is not None:
            reach(CrashPoint.BEFORE_ANSWER)
        await self._write(writes)

    async def _counts(self, ids: list[Any]) -> Mapping[bytes, Mapping[str, int]]:
        """Return how many executions of each workflow are in each unfinished state.

        The pending ones are looked up in the queue, the others by the index on unfinished executions.
        """
        ours = {"workflow_id": {"$in": ids}}
        queued = {"lane": {"$in": list(range(self._lanes))}, "due_at": {"$type": "date"}}
        counts: dict[bytes, dict[str, int]] = {}
        for wanted in (
            {**ours, "status": {"$in": [Status.RUNNING, Status.WAITING, Status.HELD]}},
            {**ours, "status": Status.PENDING, **queued},
        ):
            group = {"_id": {"workflow_id": "$workflow_id", "status": "$status"}, "count": {"$sum": 1}}
            async for found in await self._executions.aggregate([{"$match": wanted}, {"$group": group}]):
                key, status = bson_bytes(found["_id"]["workflow_id"]), found["_id"]["status"]
                if isinstance(status, str):  # a query also matches lists, which only an edit by hand can make
                    counts.setdefault(key, {})[status] = found["count"]
        return counts

    async def _mirror_if_needed(self) -> None:
        """Mirror if an execution has ended here, or after a while: executions may have ended on other replicas."""
        ended = self._metrics.completed + self._metrics.failed + self._metrics.cancelled
        now = time.monotonic()
        if ended != self._mirrored_ends or now - self._looked_at >= _ELSEWHERE_S:
            await self._mirror()
            self._mirrored_ends, self._looked_at = ended, now

    async def _mirror(self) -> None:
        """Write the sums of the counters that have changed into their workflows."""
        changed: dict[str, Any] = {"kind": "counter", "workflow_id": {"$exists": True}}  # somebody may have edited one
        if self._mirrored_at is not None:
            changed["changed_at"] = {"$gt": self._mirrored_at}
        ids: dict[bytes, Any] = {}
        looked_at = self._clock.now()
        async for counter in self._state.find(changed, {"workflow_id": 1}):
            ids[bson_bytes(counter["workflow_id"])] = counter["workflow_id"]
        # A transaction that was still open may carry an older time: the next poll reaches back a little.
        self._mirrored_at = looked_at - _OVERLAP
        if ids:
            await self._write_counts(list(ids.values()))

    async def _write_counts(self, ids: list[Any]) -> None:
        """Write the sums of these workflows' counters; unchanged sums make no write."""
        sums = {
            "execution_count": {"$sum": "$execution_count"},
            "success_count": {"$sum": "$success_count"},
            "failure_count": {"$sum": "$failure_count"},
            "last_executed_at": {"$max": "$last_executed_at"},
        }
        wanted = {"kind": "counter", "workflow_id": {"$in": ids}}
        totals = await self._state.aggregate([{"$match": wanted}, {"$group": {"_id": "$workflow_id", **sums}}])
        writes = [UpdateOne({"_id": total.pop("_id")}, {"$set": total}) async for total in totals]
        await self._write(writes)

    async def _write(self, writes: list[UpdateOne]) -> None:
        """Write into workflow documents; if one refuses its answer, the others are still written."""
        if not writes:
            return
        try:
            await self._workflows.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            if is_transient(error):
                raise
            for failure in error.details.get("writeErrors", [])[:_LOGGED]:
                emit(Event.STORE_UNAVAILABLE, during="answer to admins", error=f"refused: code {failure.get('code')}")


def observed_of(version: Mapping[str, Any], counts: Mapping[str, int], keys: Sequence[str]) -> dict[str, Any]:
    """Return ``observed`` for a workflow, without its time.

    ``state`` is the status in force, or ``invalid`` where no version is; ``error`` is that of the document as it is,
    ``ignored`` those of its ``keys`` that define nothing.
    """
    error = version["error"]
    return {
        "state": version["status"] if version.get("definition") is not None else "invalid",
        "version": version["version"],
        "error": f"{error['path']}: {error['problem']}" if error and error["path"] else (error or {}).get("problem"),
        "ignored": [key[:_KEY_CHARACTERS] for key in other_keys(dict.fromkeys(keys))],
        "in_flight": sum(counts.get(status, 0) for status in (Status.PENDING, Status.RUNNING, Status.WAITING)),
        "held": counts.get(Status.HELD, 0),
    }


def _says(stored: Any, observed: Mapping[str, Any]) -> bool:
    return isinstance(stored, Mapping) and all(stored.get(name) == value for name, value in observed.items())
