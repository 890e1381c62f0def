"""Read the stream under the reader's lease: open, read ahead, commit whatever has gathered, reopen after a failure.

One task reads batches into a bounded queue; a second takes what has gathered and commits it (natural batching: no
timer, no added latency when idle). A stream that ends is an error; it is opened again from the own checkpoint with
jittered back-off. What cannot be resumed stops the reader loudly; the queue of executions goes on.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from config.error import CheckpointCorrupt, HistoryLost, LeaseLost
from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event as LogEvent
from daemon.metrics import Metrics
from daemon.mongo.failure import may_pass
from daemon.pace import AS_SHIPPED, Pace
from daemon.service import Background, cancelled, first_failure
from daemon.stream.checkpoint import Checkpoint, check_at_home, checkpoint_from
from daemon.stream.cursor import AWAIT_S, ChangeCursor, StreamBatch, pipeline_hash
from daemon.stream.decode import Decoder, Event
from daemon.stream.downtime import note_downtime
from daemon.stream.halt import note_halt
from daemon.stream.intake import Intake
from daemon.stream.opening import Reading, ReadOtherwise, explained, open_stream
from daemon.stream.origin import present_origin
from daemon.stream.placement import Placement
from daemon.stream.read_ahead import ReadAhead
from daemon.stream.recovery import Recovery, Resumed
from daemon.telemetry import emit
from rules.head import Parse

_LONGEST_SAVE_S: Final = 30.0  # also where the position does not move: its age tells every replica that it is read
_GATHER_S: Final = 0.005  # while changes keep coming that start nothing: a getMore has its price, too
_FLUSH_S: Final = 1.0  # for what was deferred, at a stop
_BACK_OFF_S: Final = (0.1, 30.0)
_ROOM_S: Final = 0.5  # how long at the most a commit waits for an executor that is behind
_ROOM_LOOK_S: Final = 0.005


class Reader:
    """Reads the stream while this replica holds the reader's lease."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        pipeline: Sequence[Mapping[str, Any]],
        decoder: Decoder,
        intake: Intake,
        clock: ServerClock,
        metrics: Metrics,
        parse: Parse,
        recovery: Recovery,
        *,
        has_room: Callable[[], bool],
        on_structure: Callable[[Sequence[Event]], None],
        on_started: Callable[[], None],
        on_halted: Callable[[float], None],
        on_death: Callable[[str], None],
        pace: Pace = AS_SHIPPED,
    ) -> None:
        """``database`` is that of a client of the reader's own: its open getMore holds a connection.

        ``has_room`` tells whether the executor keeps up; ``on_structure`` is told of dropped and renamed
        collections, ``on_started`` whenever the workflow index has been loaded. ``on_halted`` is called when a person
        has to decide, with the seconds for which this replica does not want to read: any other may try.
        """
        self._database = database
        self._names = names
        self._pipeline = pipeline
        self._pipeline_hash = pipeline_hash(pipeline)
        self._decoder = decoder
        self._intake = intake
        self._clock = clock
        self._metrics = metrics
        self._recovery = recovery
        self._placement = Placement(database, names, intake, clock, parse, self._pipeline_hash)
        self._has_room = has_room
        self._pace = pace
        self._on_structure = on_structure
        self._on_started = on_started
        self._on_halted = on_halted
        self._halt_s = self._pace.halt_s[0]
        self._may_read = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None
        self._task = Background("reader", self._run, on_death)
        self._saved_at = 0.0
        self._reading = Reading.BATCHES
        self._unsaid_epoch: int | None = None  # of a lease under which nothing was read yet
        self.is_reading = False
        self.halted: str | None = None

    async def start(self) -> None:
        """Place the first checkpoint if there is none: a first start begins now. Then wait for the lease, and read.

        Raise the driver's error if the database does not answer.
        """
        await self._placement.placed()
        self._task.start()

    async def stop(self) -> None:
        """Stop reading; what was read and not committed is read again by the next reader."""
        self._may_read.clear()
        await self._task.stop()
        self.is_reading = False
        with suppress(TimeoutError, LeaseLost, PyMongoError):  # whoever reads next makes these decisions again
            async with asyncio.timeout(_FLUSH_S):
                await self._intake.flush()

    def allow(self, epoch: int, *, after_crash: bool) -> None:
        """Read from now on: the lease is ours. ``after_crash``: whoever had it did not give it up."""
        if after_crash:
            self._intake.caution.begin()
        self._unsaid_epoch = epoch
        self._may_read.set()

    def forbid(self) -> None:
        """Stop reading: the lease is not ours any more."""
        if self._may_read.is_set():
            emit(LogEvent.READER_STOPPED, reason="the reader's lease was lost")
        self._may_read.clear()
        self.is_reading = False
        if self._stream is not None:
            self._stream.cancel()

    async def _run(self) -> None:
        pause, attempt = _BACK_OFF_S[0], 0
        while True:
            await self._may_read.wait()
            began, changes = time.monotonic(), self._metrics.changes
            error = await self._read_once()
            self.is_reading = False
            if isinstance(error, (HistoryLost, CheckpointCorrupt)):
                await self._halt(error)
                continue
            if error is None or isinstance(error, LeaseLost):
                await self._placement.keep()
            if error is None:
                continue
            if isinstance(error, ReadOtherwise):
                emit(LogEvent.READER_REOPENED, attempt=1, delay_s=0, error=error)
                self._reading = error.reading
                continue
            # It went well for a time or took something in: what failed before that is over.
            if time.monotonic() - began > _BACK_OFF_S[1] or self._metrics.changes > changes:
                pause, attempt = _BACK_OFF_S[0], 0
            attempt += 1
            delay = pause * random.uniform(0.5, 1.0)
            emit(LogEvent.READER_REOPENED, attempt=attempt, delay_s=round(delay, 3), error=error)
            await asyncio.sleep(delay)
            pause = min(pause * 2, _BACK_OFF_S[1])

    async def _read_once(self) -> Exception | None:
        """Read until something fails; return the failure, None if the lease was lost."""
        self._stream = asyncio.create_task(self._read(), name="stream")
        try:
            await asyncio.wait([self._stream])
        finally:
            await cancelled(self._stream)
        error = None if self._stream.cancelled() else self._stream.exception()  # asked for in any case: it is seen
        if not self._may_read.is_set():
            return None
        if error is not None and not isinstance(error, Exception):
            raise error
        return error  # also one that no code expected: whatever a document holds, the queue goes on (promise 8)

    async def _halt(self, error: Exception) -> None:
        """Give the role back, because a person has to decide; the queue of executions goes on.

        Whoever has decided may have started another replica, so any may try again, this one after a pause. What is
        wrong is said once, and kept in MongoDB for the health of all replicas.
        """
        if isinstance(error, CheckpointCorrupt) and self.halted != str(error):
            emit(LogEvent.CHECKPOINT_CORRUPT, error=error)
        self.halted = str(error)
        try:
            await note_halt(self._database[self._names.state], self.halted, self._clock.now())
        except PyMongoError as failure:
            if not may_pass(failure):
                raise
        self._may_read.clear()
        emit(LogEvent.READER_STOPPED, reason="a person has to decide")
        self._on_halted(self._halt_s)
        self._halt_s = min(self._halt_s * 2, self._pace.halt_s[1])

    async def _read(self) -> None:
        try:
            await self._read_on()
        except HistoryLost as error:
            await self._recovery.recover(error)
            raise Resumed("the stream is read on behind the gap") from error

    async def _read_on(self) -> None:
        checkpoint = await self._load()
        await self._recovery.finish()
        async with self._database.client.start_session() as session:
            cursor = ChangeCursor(self._database, session, self._pipeline, await_ms=int(AWAIT_S * 1000))
            try:
                first, seen = await open_stream(cursor, checkpoint, self._pipeline_hash, self._reading)
            except OperationFailure as error:
                raise self._explained(error) from error
            self.halted, self._halt_s = None, self._pace.halt_s[0]
            await note_halt(self._database[self._names.state], None, self._clock.now())
            self.is_reading = True
            self._say_started(checkpoint)
            self._on_started()
            ahead = ReadAhead(self._decoder)
            await first_failure(
                asyncio.create_task(self._read_ahead(cursor, first, ahead, seen), name="read ahead"),
                asyncio.create_task(self._commit_all(ahead, seen), name="intake"),
                asyncio.create_task(self._flush_in_time(), name="deferred decisions"),
            )

    def _say_started(self, checkpoint: Checkpoint) -> None:
        """Say, once under each lease, from where on this replica reads: a stream that breaks is opened again."""
        if self._unsaid_epoch is not None:
            position = checkpoint.cluster_time.as_datetime()
            emit(LogEvent.READER_STARTED, epoch=self._unsaid_epoch, position=position)
            self._unsaid_epoch = None

    async def _load(self) -> Checkpoint:
        """Return the stored checkpoint, with everything that is read against it loaded."""
        document = await self._placement.placed()
        checkpoint = checkpoint_from(document)
        here, now = await present_origin(self._database, self._names.state)
        check_at_home(checkpoint, here, now)
        checkpoint = replace(checkpoint, origin=here)
        await note_downtime(self._database[self._names.state], document.get("saved_at"), self._clock.now())
        await self._intake.load(replace(checkpoint, pipeline=self._pipeline_hash))
        self._placement.is_known = True
        self._saved_at = -math.inf  # stored anew as soon as the stream is open: then everybody knows that it is read
        return checkpoint

    def _explained(self, error: OperationFailure) -> Exception:
        return explained(error, self._reading, self._intake.checkpoint)

    async def _read_ahead(self, cursor: ChangeCursor, batch: StreamBatch, ahead: ReadAhead, seen: str) -> None:
        """Read ``batch`` and all that follow; raise why there are no more, once those are committed."""
        events = 0
        while True:
            await ahead.put(batch)
            events += len(batch.events) if str(batch.token["_data"]) > seen else 0
            if self._reading.has_served(events):
                await ahead.all_done()
                raise ReadOtherwise(Reading.BATCHES)
            if not cursor.is_open or not self._may_read.is_set():
                await ahead.all_done()
                raise LeaseLost("the stream ended: the database was dropped, or another replica reads")
            if self._intake.is_deferring:
                await asyncio.sleep(_GATHER_S)
            try:
                batch = await cursor.next_batch()
            except OperationFailure as error:
                await ahead.all_done()
                raise self._explained(error) from error

    async def _commit_all(self, ahead: ReadAhead, seen: str) -> None:
        while self._may_read.is_set():
            gathered = await ahead.gathered()
            events, token = gathered.events, gathered.token
            if seen:
                events = [event for event in events if event.token > seen]
            if events and CRASH_AT is not None:
                reach(CrashPoint.AFTER_READ)
            if events:
                await self._take(events, token)
            elif token is not None and self._is_save_due(token):
                await self._intake.save(token)
                self._saved_at = time.monotonic()
            self._metrics.caught_up_at = self._clock.now() if ahead.is_empty else self._metrics.caught_up_at
            ahead.done(gathered)

    async def _flush_in_time(self) -> None:
        """Commit deferred decisions once they have waited for long enough."""
        while True:
            await asyncio.sleep(await self._intake.deferral_s())
            await self._intake.flush()

    def _is_save_due(self, token: Mapping[str, Any]) -> bool:
        """Return whether the position is to be stored although nothing happened."""
        if self._intake.ends_replay(token):
            return True
        idle_s, is_moved = time.monotonic() - self._saved_at, token != self._intake.checkpoint.token
        return idle_s >= _LONGEST_SAVE_S or (idle_s >= self._pace.idle_save_s and is_moved)

    async def _take(self, events: list[Event], token: Mapping[str, Any] | None) -> None:
        structures = await self._intake.take(events, token)
        self._saved_at = time.monotonic()
        changes = [event for event in events if event.change is not None]
        self._metrics.changes += len(changes)
        self._metrics.last_change_at = events[-1].at
        if structures:
            self._on_structure(structures)
        await self._let_executor_breathe()

    async def _let_executor_breathe(self) -> None:
        """Wait a moment if the executor is far behind: reading its work back later costs more than waiting now."""
        until = time.monotonic() + _ROOM_S
        while not self._has_room():
            if time.monotonic() > until:
                return
            await asyncio.sleep(_ROOM_LOOK_S)
