"""Go on after history was lost, by the policy: halt, resume from now, or resume and search for lost creations.

Resuming is a first start that replaces the checkpoint: the workflows as they are at operation time T, the stream from
just after it. Before the stream is read on, lost creations are searched for if the policy says so, and lost requests
are answered.
"""

from typing import Any

from bson.timestamp import Timestamp
from pymongo.asynchronous.collection import AsyncCollection

from config.error import HistoryLost, ReflexdError
from config.settings import HistoryLostPolicy
from daemon.clock import ServerClock
from daemon.stream.first_start import FirstStart
from daemon.stream.gap import record_gap
from daemon.stream.intake import Intake
from daemon.stream.late_request import LateRequests
from daemon.stream.rescan import Rescan, unbegun


class Resumed(ReflexdError):
    """The checkpoint is behind the gap: the stream is to be opened again."""


class Recovery:
    """Moves the checkpoint over a gap. Only for the replica that reads, before it reads on."""

    def __init__(
        self,
        state: AsyncCollection[dict[str, Any]],
        intake: Intake,
        clock: ServerClock,
        first_start: FirstStart,
        rescan: Rescan,
        late_requests: LateRequests,
        policy: HistoryLostPolicy,
    ) -> None:
        self._state = state
        self._intake = intake
        self._clock = clock
        self._first_start = first_start
        self._rescan = rescan
        self._late_requests = late_requests
        self._policy = policy

    async def recover(self, error: HistoryLost) -> None:
        """Record the gap and move the checkpoint behind it; raise ``error`` again where the policy is to halt."""
        checkpoint = self._intake.checkpoint
        at: Timestamp = (await self._state.database.command("ping"))["operationTime"]
        is_halting = self._policy is HistoryLostPolicy.HALT
        await record_gap(
            self._state,
            checkpoint.cluster_time,
            self._clock.now(),
            self._policy,
            error,
            read_from=None if is_halting else at,
            rescan=unbegun(at) if self._policy is HistoryLostPolicy.RESCAN_INSERTS else None,
        )
        if is_halting:
            raise error
        await self._first_start.begin(
            pipeline=checkpoint.pipeline, origin=checkpoint.origin, at=at, replaces=checkpoint
        )

    async def finish(self) -> None:
        """Take in the lost creations and requests of every gap that is not done; the intake must have been loaded."""
        pending = {"kind": "gap", "$or": [{"rescan.is_done": False}, {"requests.is_done": False}]}
        for gap in await self._state.find(pending).sort("from", 1).to_list():
            if not gap.get("rescan", {}).get("is_done", True):
                await self._rescan.finish(gap)
            requests = gap.get("requests", {"is_done": True})
            if not requests["is_done"]:
                await self._late_requests.answer(requests["at"])
                await self._state.update_one({"_id": gap["_id"]}, {"$set": {"requests.is_done": True}})
