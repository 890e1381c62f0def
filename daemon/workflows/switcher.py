"""Apply the switch of a workflow to the executions that waited at its position: hold, release, cancel.

A version holds its switch until that is applied, so a crash in between loses nothing. A switch is applied to executions
numbered up to its position, page by page, and again a little later: an executor may have queued a next step
meanwhile. Executions of slower steps are brought in line with the switches once a minute.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.executions.counter import counter_update
from daemon.executions.status import Status
from daemon.metrics import Metrics
from daemon.mongo.transaction import Transactions
from daemon.poll import Pause, Signal
from daemon.stream.checkpoint import CHECKPOINT_ID
from rules.identity import bson_bytes
from rules.version import Switch
from rules.workflow import WorkflowStatus

PAGE: Final = 500
AGAIN_S: Final = (1.0, 5.0)  # when a switch is applied again, for steps that were in flight
_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 60.0
_FIELDS: Final = {"workflow_id": 1, "version": 1, "at_seq": 1, "transition": 1}
_OVERTAKING: Final = {  # the later switches that make a switch superfluous
    Switch.CANCEL: {Switch.CANCEL},
    Switch.HOLD: {Switch.CANCEL, Switch.HOLD},
    Switch.RELEASE: {Switch.CANCEL, Switch.HOLD, Switch.RELEASE},
}
_HOLD: Final[list[Mapping[str, Any]]] = [
    {"$set": {"held_due_at": "$due_at", "held_status": "$status", "status": Status.HELD}},
    {"$unset": "due_at"},
]


class Switcher:
    """Applies switches, oldest first, while this replica is the reader."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        clock: ServerClock,
        metrics: Metrics,
        *,
        lanes: int,
        on_applied: Callable[[Any], None],
    ) -> None:
        """``lanes``: how many there are in all. ``on_applied`` is told the workflow when a switch was applied."""
        self.transactions = Transactions(database.client)
        self._versions = database[names.versions]
        self._executions = database[names.executions]
        self._state = database[names.state]
        self._clock = clock
        self._metrics = metrics
        self._lanes = lanes
        self._on_applied = on_applied
        self.signal = Signal()  # a switch was committed
        self._again: list[tuple[float, Mapping[str, Any]]] = []
        self._in_line_until = 0.0  # monotonic time in seconds when everything is compared with the switches again

    def begin(self) -> None:
        """Compare everything with the switches at the next poll: this replica has become the reader."""
        self._in_line_until = 0.0

    async def poll(self) -> Pause:
        """Apply what is still to be done; raise the driver's error: what is not applied is applied by the next poll."""
        await self._apply_all()
        pause = Pause(await self._apply_again())
        await self._bring_in_line()
        return pause

    async def _apply_all(self) -> None:
        while pending := await self._pending_page():
            await self._apply_page(pending)

    async def _pending_page(self) -> list[dict[str, Any]]:
        found = self._versions.find({"transition": {"$exists": True}}, _FIELDS)
        return await found.sort([("changed_seq", 1), ("version", 1)]).limit(PAGE).to_list()

    async def _apply_page(self, pending: Sequence[Mapping[str, Any]]) -> None:
        needed, overtaken = without_overtaken(pending)
        if overtaken:
            ids = [version["_id"] for version in overtaken]
            await self._versions.update_many({"_id": {"$in": ids}}, {"$unset": {"transition": ""}})
        now = time.monotonic()
        for version in needed:
            await self._apply(version)
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_SWITCH)
            await self._versions.update_one({"_id": version["_id"]}, {"$unset": {"transition": ""}})
            self._again += [(now + later, version) for later in AGAIN_S]
            self._on_applied(version["workflow_id"])

    async def _apply_again(self) -> float:
        """Apply the switches once more that are due for it; return the seconds until the next is."""
        now = time.monotonic()
        due = [version for at, version in self._again if at <= now]
        self._again = [(at, version) for at, version in self._again if at > now]
        ids = [version["_id"] for version in due]
        found = self._versions.find({"_id": {"$in": ids}, "latest": True}, {"_id": 1})
        newest = {bson_bytes(version["_id"]) async for version in found} if due else set()
        for version in due:
            if version["transition"] == Switch.CANCEL or bson_bytes(version["_id"]) in newest:
                await self._apply(version)
        return max(min((at for at, _ in self._again), default=now + _LOOK_S) - now, 0.01)

    async def _bring_in_line(self) -> None:
        """Hold, release and cancel what no switch has met: every minute, and whenever this replica takes over."""
        if time.monotonic() < self._in_line_until:
            return
        # First, or what is made right after an activation that the versions do not show yet would be held too.
        checkpoint = await self._state.find_one({"_id": CHECKPOINT_ID}, {"seq": 1}) or {}
        fields = {"workflow_id": 1, "status": 1, "stopped_seq": 1}
        versions = await self._versions.find({"latest": True}, fields).to_list()
        paused = [version["workflow_id"] for version in versions if version["status"] == WorkflowStatus.PAUSED]
        running = (WorkflowStatus.ACTIVE, WorkflowStatus.DRAINING)
        going = [version["workflow_id"] for version in versions if version["status"] in running]
        until = {"seq": {"$lte": checkpoint.get("seq", 0)}}
        in_queue = {"workflow_id": {"$in": paused}, "due_at": {"$type": "date"}, **until}
        for status in (Status.WAITING, Status.PENDING):  # each has an index of its own
            await self._executions.update_many({**in_queue, "status": status}, _HOLD)
        await self._release({"workflow_id": {"$in": going}, "status": Status.HELD})
        stopped = [version for version in versions if version["stopped_seq"] >= 0]
        for start in range(0, len(stopped), PAGE):
            await self._cancel_stopped(stopped[start : start + PAGE])
        self._in_line_until = time.monotonic() + _LOOK_S

    async def _cancel_stopped(self, versions: Sequence[Mapping[str, Any]]) -> None:
        """Cancel waiting executions of workflows that were stopped at or after their number."""
        by_id = {bson_bytes(version["workflow_id"]): version for version in versions}
        waiting: dict[str, Any] = {"status": {"$in": [Status.WAITING, Status.HELD]}}
        ours = {**waiting, "workflow_id": {"$in": [version["workflow_id"] for version in versions]}}
        group = {"_id": "$workflow_id", "first_seq": {"$min": "$seq"}}
        for found in await (await self._executions.aggregate([{"$match": ours}, {"$group": group}])).to_list():
            version = by_id.get(bson_bytes(found["_id"]))  # None for a list, which only an edit by hand can make
            if version is None:
                continue
            until = {"workflow_id": version["workflow_id"], "seq": {"$lte": version["stopped_seq"]}}
            await self._cancel_all({**waiting, **until}, version)

    async def _apply(self, version: Mapping[str, Any]) -> None:
        match Switch(version["transition"]):
            case Switch.HOLD:
                await self._hold(version)
            case Switch.RELEASE:
                await self._release(self._of(version, {"status": Status.HELD}))
            case Switch.CANCEL:
                await self._cancel(version)

    async def _hold(self, version: Mapping[str, Any]) -> None:
        """Take waiting executions out of the queue; ``held_due_at`` keeps their due times."""
        await self._executions.update_many(self._pending(version), _HOLD)
        await self._executions.update_many(
            self._of(version, {"status": Status.WAITING, "due_at": {"$type": "date"}}), _HOLD
        )

    async def _release(self, held: Mapping[str, Any]) -> None:
        """Queue held executions, each at its own time: overdue ones run at once, in the order of their due times.

        A step without a held time, which only an edit by hand can cause, is due now.
        """
        await self._executions.update_many(
            held,
            [
                {
                    "$set": {
                        "due_at": {"$ifNull": ["$held_due_at", self._clock.now()]},
                        "status": {"$ifNull": ["$held_status", Status.WAITING]},
                    }
                },
                {"$unset": ["held_due_at", "held_status"]},
            ],
        )

    async def _cancel(self, version: Mapping[str, Any]) -> None:
        """Cancel all waiting executions, held or not, one page in a transaction with the counters."""
        await self._cancel_all(self._pending(version), version)
        await self._cancel_all(self._of(version, {"status": {"$in": [Status.WAITING, Status.HELD]}}), version)

    async def _cancel_all(self, waiting: Mapping[str, Any], version: Mapping[str, Any]) -> None:
        while page := await self._executions.find(waiting, {"_id": 1}).limit(PAGE).to_list():
            ids = [document["_id"] for document in page]
            ended = await self.transactions.run(
                partial(self._cancel_page, {**waiting, "_id": {"$in": ids}}, version["workflow_id"]),
                timeout_s=_TIMEOUT_S,
            )
            self._metrics.cancelled += ended

    async def _cancel_page(self, waiting: Mapping[str, Any], workflow_id: Any, session: AsyncClientSession) -> int:
        now = self._clock.now()
        result = await self._executions.update_many(
            waiting,
            {
                "$set": {
                    "status": Status.CANCELLED,
                    "counted_as": Status.CANCELLED,
                    "reason": "stopped",
                    "completed_at": now,
                },
                "$unset": {"due_at": "", "held_due_at": "", "held_status": ""},
            },
            session=session,
        )
        if result.modified_count:
            counts = (result.modified_count, 0, 0)
            update = counter_update(workflow_id, "switcher", counts, now)
            await self._state.bulk_write([update], session=session)
        return result.modified_count

    def _pending(self, version: Mapping[str, Any]) -> dict[str, Any]:
        """Return the query for the pending executions before a switch: all of them are in the queue."""
        queued = {"lane": {"$in": list(range(self._lanes))}, "due_at": {"$type": "date"}}
        return self._of(version, {"status": Status.PENDING, **queued})

    @staticmethod
    def _of(version: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
        return {"workflow_id": version["workflow_id"], "seq": {"$lte": version["at_seq"]}, **state}


def without_overtaken(
    pending: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return, of switches in their order, those that must be applied, and those that later ones make superfluous.

    A cancel ends all executions that an earlier switch of its workflow held or released. A hold covers the executions
    of all earlier holds, and undoes earlier releases; a release covers those of the release before.
    """
    kept: list[Mapping[str, Any]] = []
    overtaken: list[Mapping[str, Any]] = []
    later: dict[bytes, set[Switch]] = {}
    for version in reversed(pending):
        after = later.setdefault(bson_bytes(version["workflow_id"]), set())
        switch = Switch(version["transition"])
        is_overtaken = bool(after & _OVERTAKING[switch])
        (overtaken if is_overtaken else kept).append(version)
        after.add(switch)
    return kept[::-1], overtaken
