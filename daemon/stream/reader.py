"""Read the stream under the reader's lease, and start anew after a failure.

After most failures the stream is followed again from the own checkpoint, with jittered back-off. Where a person has
to decide, the reader halts: it gives the role back and tries again later; the queue of executions goes on.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pymongo.errors import PyMongoError

from config.error import CheckpointCorrupt, HistoryLost, LeaseLost
from daemon.event import Event
from daemon.metrics import Metrics
from daemon.service import Background, cancelled
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.follower import Follower
from daemon.stream.halt import Halt
from daemon.stream.intake import Intake
from daemon.stream.opening import EventTooLarge
from daemon.stream.placement import Placement
from daemon.stream.trial import Trials
from daemon.stream.user import StreamUser
from daemon.telemetry import emit

_FLUSH_S: Final = 1.0  # for committing the deferred decisions at a stop
_BACK_OFF_S: Final = (0.1, 30.0)


class Reader:
    """Reads the stream while this replica holds the reader's lease."""

    def __init__(
        self,
        follower: Follower,
        intake: Intake,
        placement: Placement,
        trials: Trials,
        halt: Halt,
        metrics: Metrics,
        user: StreamUser,
    ) -> None:
        self._follower = follower
        self._intake = intake
        self._placement = placement
        self._trials = trials
        self._halt = halt
        self._metrics = metrics
        self._user = user
        self._may_read = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._task = Background("reader", self._run)
        self._untold_epoch: int | None = None  # of a lease under which the stream was not opened yet
        self.is_reading = False

    @property
    def halted(self) -> str | None:
        """Why this reader has halted, None while it has not."""
        return self._halt.error

    @property
    def tasks(self) -> Sequence[Background]:
        """The task that reads."""
        return (self._task,)

    async def start(self) -> None:
        """Place the first checkpoint if there is none: a first start begins now. Then wait for the lease, and read.

        Raise the driver's error if the database does not answer.
        """
        await self._placement.placed()
        await self._task.start()

    async def stop(self) -> None:
        """Stop reading; the next reader reads uncommitted events again."""
        self._may_read.clear()
        await self._task.stop()
        self.is_reading = False
        with suppress(TimeoutError, LeaseLost, PyMongoError):  # the next reader makes these decisions again
            async with asyncio.timeout(_FLUSH_S):
                await self._intake.flush()

    def allow(self, epoch: int, *, after_crash: bool) -> None:
        """Read from now on: the lease is ours. ``after_crash``: its last holder did not give it up."""
        if after_crash:
            self._trials.begin()
        self._untold_epoch = epoch
        self._may_read.set()

    def forbid(self) -> None:
        """Stop reading: the lease is not ours any more."""
        if self._may_read.is_set():
            emit(Event.READER_STOPPED, reason="the reader's lease was lost")
        self._may_read.clear()
        self.is_reading = False
        if self._following is not None:
            self._following.cancel()

    async def _run(self) -> None:
        pause, attempt = _BACK_OFF_S[0], 0
        while True:
            await self._may_read.wait()
            began, changes = time.monotonic(), self._metrics.changes
            error = await self._read_once()
            if isinstance(error, (HistoryLost, CheckpointCorrupt)):
                await self._give_back(error)
                continue
            if error is None or isinstance(error, LeaseLost):
                await self._placement.keep()
            if error is None:
                continue
            if isinstance(error, EventTooLarge):
                emit(Event.READER_REOPENED, attempt=1, delay_s=0, error=error)
                continue
            # It read for a while or committed something: earlier failures no longer count.
            if time.monotonic() - began > _BACK_OFF_S[1] or self._metrics.changes > changes:
                pause, attempt = _BACK_OFF_S[0], 0
            attempt += 1
            delay = pause * random.uniform(0.5, 1.0)
            emit(Event.READER_REOPENED, attempt=attempt, delay_s=round(delay, 3), error=error)
            await asyncio.sleep(delay)
            pause = min(pause * 2, _BACK_OFF_S[1])

    async def _read_once(self) -> Exception | None:
        """Read until something fails; return the failure, None if the lease was lost."""
        self._following = asyncio.create_task(self._follower.follow(self._opened), name="stream")
        try:
            await asyncio.wait([self._following])
        finally:
            self.is_reading = False
            try:
                await cancelled(self._following)
            finally:
                await self._user.reading_ended()
        # Retrieved in any case, otherwise asyncio warns that it was not.
        error = None if self._following.cancelled() else self._following.exception()
        if not self._may_read.is_set():
            return None
        if error is not None and not isinstance(error, Exception):
            raise error
        return error  # unexpected errors, too: the queue of executions goes on (promise 8)

    async def _opened(self, checkpoint: Checkpoint) -> None:
        """Note that the stream is read; log the position once for each lease."""
        await self._halt.end()
        self.is_reading = True
        if self._untold_epoch is not None:
            position = checkpoint.cluster_time.as_datetime()
            emit(Event.READER_STARTED, epoch=self._untold_epoch, position=position)
            self._untold_epoch = None
        await self._user.reading_began()

    async def _give_back(self, error: Exception) -> None:
        """Halt, and give the role back: a person has to decide.

        The person may start another replica, so any replica may try; this one tries again after a pause.
        """
        pause_s = await self._halt.begin(error)
        self._may_read.clear()
        emit(Event.READER_STOPPED, reason="a person has to decide")
        self._user.reader_halted(pause_s)
