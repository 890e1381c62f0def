"""Commit the writes of one intake transaction, with the checkpoint.

A compare-and-set on the checkpoint fences the transaction: that of a stale reader aborts as a whole.
"""

from dataclasses import replace
from functools import partial
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.executions.committed import Committed
from daemon.executions.intervention import Interventions
from daemon.metrics import Metrics
from daemon.mongo.transaction import Transactions
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.deferral import Deferral
from daemon.stream.user import StreamUser
from daemon.stream.writes import Writes, WritesStore, is_duplicate
from daemon.versions.workflow_index import WorkflowIndex

_TIMEOUT_S: Final = 30.0


class Committer:
    """Commits in order, under the checkpoint. ``begin`` must have been called once."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        interventions: Interventions,
        index: WorkflowIndex,
        clock: ServerClock,
        metrics: Metrics,
        user: StreamUser,
    ) -> None:
        self._store = WritesStore(database, names, interventions)
        self._index = index
        self._clock = clock
        self._metrics = metrics
        self._user = user
        self._checkpoint: Checkpoint | None = None
        self.transactions = Transactions(database.client)
        self.deferral = Deferral()

    @property
    def has_begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self._checkpoint is not None

    def begin(self, checkpoint: Checkpoint) -> None:
        """Commit from ``checkpoint`` on."""
        self._checkpoint = checkpoint

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint as it was last committed or loaded."""
        if self._checkpoint is None:
            raise RuntimeError("intake has no checkpoint: load it first")
        return self._checkpoint

    @property
    def position(self) -> Checkpoint:
        """The checkpoint as it will be once the deferred decisions are committed."""
        return self.deferral.position or self.checkpoint

    def after(self, writes: Writes) -> Checkpoint:
        """Return the position with the numbers that the executions of ``writes`` use up."""
        before = self.position
        due_floor = max(self._clock.now(), before.due_floor)
        return replace(before, seq=before.seq + len(writes.executions), due_floor=due_floor)

    async def commit(self, writes: Writes, moved: Checkpoint) -> None:
        """Commit ``writes`` and move the checkpoint to ``moved``.

        Raise LeaseLost when another reader has moved it, and the driver's error when the database does not answer:
        then it is unknown whether the transaction was committed.
        """
        before = self.checkpoint
        moved = replace(moved, commit=before.commit + 1)
        while True:
            work = partial(self._store.write, writes, before.commit, moved, self._clock.now())
            try:
                await self.transactions.run(work, timeout_s=_TIMEOUT_S)
                break
            except BulkWriteError as error:
                if not is_duplicate(error) or not await self._store.drop_replayed(writes):
                    raise
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_INTAKE)
        self._checkpoint = moved
        self.deferral.committed()
        edits = self._index.edits(writes.new_versions)
        self._index.settle()
        self._metrics.executions += len(writes.executions)
        self._metrics.refusals += len(writes.refusals)
        ended = [job for job, _ in writes.ended.values()]
        self._user.committed(Committed(writes.jobs, ended, edits, writes.rewritten, moved.commit))
