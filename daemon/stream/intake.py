"""Take in the events of the stream and the entrants of sweeps, in order, under the checkpoint."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from config.error import CheckpointCorrupt, LeaseLost
from daemon.clock import ServerClock
from daemon.mongo.failure import is_transient
from daemon.stream.bisection import Bisection
from daemon.stream.checkpoint import Checkpoint, cluster_time_of
from daemon.stream.commit import Committer
from daemon.stream.decode import StreamEvent
from daemon.stream.enroller import Enroller, refused
from daemon.stream.entrant import Entrant
from daemon.stream.page_intake import PageIntake, Write
from daemon.stream.past import Past
from daemon.stream.user import StreamUser
from daemon.stream.writes import Writes
from daemon.versions.workflow_index import WorkflowIndex
from rules.explain import Reason

_SECOND: Final = timedelta(seconds=1)


class Intake:
    """Takes events and entrants in, one transaction at a time. ``load`` must have been called once."""

    def __init__(
        self,
        versions: AsyncCollection[dict[str, Any]],
        index: WorkflowIndex,
        past: Past,
        enroller: Enroller,
        committer: Committer,
        bisection: Bisection,
        clock: ServerClock,
        user: StreamUser,
    ) -> None:
        self._versions = versions
        self._index = index
        self._past = past
        self._enroller = enroller
        self._committer = committer
        self._bisection = bisection
        self._clock = clock
        self._user = user
        self._pages = PageIntake(enroller, committer)
        self.transactions = committer.transactions
        self.lock = asyncio.Lock()  # one transaction at a time: the stream's or a sweep's

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint as it was last committed or loaded."""
        return self._committer.checkpoint

    @property
    def is_deferring(self) -> bool:
        """Whether decisions wait to be committed."""
        return self._committer.deferral.position is not None

    async def deferral_s(self) -> float:
        """Return how long deferred decisions may still wait, in seconds, once there are some."""
        await self._committer.deferral.begun.wait()
        return self._committer.deferral.rest_s

    async def load(self, checkpoint: Checkpoint) -> None:
        """Start from ``checkpoint``, with the workflows as they are stored; raise CheckpointCorrupt if they differ."""
        self._committer.deferral.taken_back()
        if checkpoint.replayed_until:
            at = checkpoint.cluster_time.as_datetime()  # to a second, as the checkpoint holds it
            self._index.replace(await self._past.versions(at if checkpoint.token is None else at + _SECOND))
        else:
            await self._index.load(self._versions)
        self._enroller.start_over()
        if checkpoint.done > sum(1 for _ in self._index):
            raise CheckpointCorrupt(f"checkpoint: done is {checkpoint.done}, more than there are workflows")
        self._committer.begin(checkpoint)

    async def take(self, events: Sequence[StreamEvent], token: Mapping[str, Any] | None) -> list[StreamEvent]:
        """Commit ``events`` in as many transactions as they need; return those about collections and the database.

        ``token`` is the position after all of them where it is further than the last event's. Raise LeaseLost when
        another reader has moved the checkpoint, and the driver's error when the database does not answer: then
        it is unknown whether the transaction was committed, and ``load`` must be called.
        """
        async with self.lock:
            try:
                if not self.is_replaying:
                    return await self._bisection.take(events, token)
                again = [event for event in events if not self.ends_replay({"_data": event.token})]
                unread = events[len(again) :]
                structures = await self._bisection.take(again, None if unread else token) if again else []
                if unread:
                    await self._end_replay()
                    structures += await self._bisection.take(unread, token)
                return structures
            except BaseException:
                self._enroller.start_over()  # a sweep may read the index before it is loaded again
                raise

    async def flush(self) -> None:
        """Commit the decisions that have waited for long enough; raises as ``take`` does."""
        async with self.lock:
            await self._bisection.flush()

    async def save(self, token: Mapping[str, Any]) -> None:
        """Move the checkpoint to a position before which there were no events for us."""
        async with self.lock:
            await self._bisection.flush()
            if self.ends_replay(token):
                await self._end_replay()
            # If the token cannot be used one day, the stream is opened at this time, so it must stay recent.
            cluster_time = cluster_time_of(token) or self.checkpoint.cluster_time
            await self._committer.commit(Writes(), replace(self.checkpoint, token=token, cluster_time=cluster_time))

    async def take_entrants(self, entrants: Sequence[Entrant], write: Write) -> None:
        """Commit the entrants of one page of a sweep, with what ``write`` adds to the transaction.

        ``write`` is called with the number of admitted entrants and the refusals of the others, perhaps twice.
        An entrant that cannot be stored is recorded and left out (promise 8). Must be called with ``lock`` held;
        raises as ``take`` does.
        """
        await self._bisection.flush()
        await self._pages.take(entrants, write)

    async def take_late(self, event: StreamEvent) -> None:
        """Take in a request that is not in the stream; raises as ``take`` does."""
        async with self.lock:
            await self._bisection.flush()
            try:
                plan = await self._bisection.plan([event])
                writes = await self._enroller.enrol(plan, self.checkpoint, at_once=False)
                await self._committer.commit(writes, self._committer.after(writes))
            except LeaseLost:
                raise
            except Exception as error:
                if is_transient(error):
                    raise
                self._enroller.start_over()
                answer = refused(event.document_id, str(Reason.INTAKE_ERROR), self._clock.now())
                await self._committer.commit(Writes(answers=[answer]), self.checkpoint)

    @property
    def is_replaying(self) -> bool:
        """Whether the stream is read again, with the workflows as they were, after a reset into the past."""
        return self._committer.has_begun and self.checkpoint.replayed_until != ""

    def ends_replay(self, token: Mapping[str, Any]) -> bool:
        """Return whether ``token`` is behind everything that was read before."""
        return self.is_replaying and str(token["_data"]) > self.checkpoint.replayed_until

    async def _end_replay(self) -> None:
        """Load the present workflows: the events that follow were not read before."""
        await self._bisection.flush()
        await self._index.load(self._versions)
        self._enroller.start_over()
        self._committer.begin(replace(self.checkpoint, replayed_until=""))
        self._user.replayed()
