"""Follow the stream from the stored checkpoint: open it, read ahead, commit batches, until something fails.

One task reads replies into a bounded queue; a second commits all replies that have gathered (natural batching: no
timer, no added latency when idle). A stream that ends is an error. Nothing is retried here: the reader starts anew.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from pymongo.errors import OperationFailure

from config.error import HistoryLost, LeaseLost
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.metrics import Metrics
from daemon.pace import Pace
from daemon.service import first_failure
from daemon.stream.checkpoint import Checkpoint, check_at_home, checkpoint_from
from daemon.stream.cursor import AWAIT_S, ChangeCursor, Reply
from daemon.stream.decode import StreamEvent
from daemon.stream.downtime import note_downtime
from daemon.stream.intake import Intake
from daemon.stream.opening import EventTooLarge, explained, open_stream
from daemon.stream.origin import present_origin
from daemon.stream.placement import Placement
from daemon.stream.read_ahead import Batch, ReadAhead
from daemon.stream.recovery import Recovery, Resumed
from daemon.stream.source import Source
from daemon.stream.user import StreamUser
from daemon.telemetry import emit

_LONGEST_SAVE_S: Final = 30.0  # even if the position does not move: its age shows every replica that the stream is read
_GATHER_S: Final = 0.005  # while changes come that start no execution: each getMore has a cost, too
_ROOM_S: Final = 0.5  # how long at the most a commit waits for an executor that is behind
_ROOM_LOOK_S: Final = 0.005


class Follower:
    """Follows the stream, once at a time."""

    def __init__(
        self,
        source: Source,
        intake: Intake,
        placement: Placement,
        recovery: Recovery,
        clock: ServerClock,
        metrics: Metrics,
        pace: Pace,
        user: StreamUser,
    ) -> None:
        """``source`` has a client of its own: the open getMore occupies a connection."""
        self._source = source
        self._intake = intake
        self._placement = placement
        self._recovery = recovery
        self._clock = clock
        self._metrics = metrics
        self._pace = pace
        self._user = user
        self._saved_at = 0.0
        self._cuts_images = False  # set by the first event over 16 MB

    async def follow(self, on_open: Callable[[Checkpoint], Awaitable[None]]) -> None:
        """Read and commit; ``on_open`` is called with the checkpoint once the stream is open.

        Raise the error that ends it: EventTooLarge or Resumed where the stream is to be opened anew, HistoryLost or
        CheckpointCorrupt where a person has to decide, LeaseLost or the driver's error otherwise.
        """
        try:
            await self._follow(on_open)
        except EventTooLarge:
            self._cuts_images = True
            raise
        except HistoryLost as error:
            await self._recovery.recover(error)
            raise Resumed("the stream is read on behind the gap") from error

    async def _follow(self, on_open: Callable[[Checkpoint], Awaitable[None]]) -> None:
        checkpoint = await self._load()
        await self._recovery.finish()
        async with self._source.database.client.start_session() as session:
            cursor = ChangeCursor(self._source.database, session, self._source.pipeline, await_ms=int(AWAIT_S * 1000))
            try:
                first, seen = await open_stream(
                    cursor, checkpoint, self._source.pipeline_hash, cuts_images=self._cuts_images
                )
            except OperationFailure as error:
                raise self._explained(error) from error
            await on_open(checkpoint)
            ahead = ReadAhead(self._source.decoder)
            await first_failure(
                asyncio.create_task(self._read_ahead(cursor, first, ahead), name="read ahead"),
                asyncio.create_task(self._commit_all(ahead, seen), name="intake"),
                asyncio.create_task(self._flush_in_time(), name="deferred decisions"),
            )

    async def _load(self) -> Checkpoint:
        """Return the stored checkpoint, after loading the workflows and counts for it."""
        document = await self._placement.placed()
        checkpoint = checkpoint_from(document)
        here, now = await present_origin(self._source.state)
        check_at_home(checkpoint, here, now)
        checkpoint = replace(checkpoint, origin=here)
        await note_downtime(self._source.state, document.get("saved_at"), self._clock.now())
        await self._intake.load(replace(checkpoint, pipeline=self._source.pipeline_hash))
        self._placement.is_known = True
        self._saved_at = -math.inf  # store the position as soon as the stream is open: this shows that it is read
        return checkpoint

    def _explained(self, error: OperationFailure) -> Exception:
        return explained(error, self._intake.checkpoint, cuts_images=self._cuts_images)

    async def _read_ahead(self, cursor: ChangeCursor, reply: Reply, ahead: ReadAhead) -> None:
        """Read ``reply`` and those that follow; commit them, and raise the error that ended the stream."""
        while True:
            await ahead.put(reply)
            if not cursor.is_open:
                await ahead.all_done()
                raise LeaseLost("the stream ended: the database was dropped")
            if self._intake.is_deferring:
                await asyncio.sleep(_GATHER_S)
            try:
                reply = await cursor.next_reply()
            except OperationFailure as error:
                await ahead.all_done()
                raise self._explained(error) from error

    async def _commit_all(self, ahead: ReadAhead, seen: str) -> None:
        while True:  # each batch in a call, so that nothing keeps it while the next one is waited for
            await self._commit(await ahead.next_batch(), ahead, seen)

    async def _commit(self, batch: Batch, ahead: ReadAhead, seen: str) -> None:
        events = [event for event in batch.events if event.token > seen] if seen else batch.events
        if events and CRASH_AT is not None:
            reach(CrashPoint.AFTER_READ)
        if events:
            await self._take(events, batch.token)
        elif batch.token is not None and self._is_save_due(batch.token):
            await self._intake.save(batch.token)
            self._saved_at = time.monotonic()
        self._metrics.caught_up_at = self._clock.now() if ahead.is_empty else self._metrics.caught_up_at
        ahead.done(batch)

    async def _flush_in_time(self) -> None:
        """Commit deferred decisions when their time is over."""
        while True:
            await asyncio.sleep(await self._intake.deferral_s())
            await self._intake.flush()

    def _is_save_due(self, token: Mapping[str, Any]) -> bool:
        """Return whether to store the position although there were no events."""
        if self._intake.ends_replay(token):
            return True
        idle_s, is_moved = time.monotonic() - self._saved_at, token != self._intake.checkpoint.token
        return idle_s >= _LONGEST_SAVE_S or (idle_s >= self._pace.idle_save_s and is_moved)

    async def _take(self, events: list[StreamEvent], token: Mapping[str, Any] | None) -> None:
        structures = await self._intake.take(events, token)
        self._saved_at = time.monotonic()
        self._metrics.changes += sum(event.change is not None for event in events)
        self._metrics.last_change_at = events[-1].at
        if structures:
            self._tell_structures(structures)
        await self._wait_for_room()

    def _tell_structures(self, events: list[StreamEvent]) -> None:
        """Log that a dropped or renamed collection has no images, and have the indexes checked."""
        for event in events:
            if event.operation == "dropDatabase" or event.collection in self._source.watched:
                emit(Event.IMAGES_OFF, collection=event.collection or self._source.database.name)
        self._user.collections_changed()

    async def _wait_for_room(self) -> None:
        """Wait a moment if the executor is far behind: loading its work later costs more than waiting now."""
        until = time.monotonic() + _ROOM_S
        while not self._user.has_room():
            if time.monotonic() > until:
                return
            await asyncio.sleep(_ROOM_LOOK_S)
