"""Hold the replies that were read from the stream and are not committed yet; a commit takes all that have gathered.

A reply is decoded when it arrives, while a commit waits for the server. A heavy reply is taken in parts, each decoded
only then: so few large documents are decoded in memory at a time, and the work for one commit is short.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson.raw_bson import RawBSONDocument

from daemon.stream.cursor import Reply
from daemon.stream.decode import Decoder, StreamEvent

MOST_EVENTS: Final = 1_000  # from then on no reply is added
BYTES_AT_ONCE: Final = 1024 * 1024  # likewise; decoded in about 10 ms
_REPLIES: Final = 4


@dataclass(frozen=True, slots=True)
class _Read:
    """A reply or a part of one: undecoded events, or decoded ones, and their size in bytes.

    ``token`` is the position after them where it is further than the last event's.
    """

    raw: Sequence[RawBSONDocument]
    events: Sequence[StreamEvent]
    token: Mapping[str, Any] | None
    size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to commit together, and the position after them where it is further than that of the last event."""

    events: list[StreamEvent]
    token: Mapping[str, Any] | None
    reads: int


class ReadAhead:
    """A bounded queue between the task that reads and the task that commits."""

    def __init__(self, decoder: Decoder, *, most_events: int = MOST_EVENTS, bytes_at_once: int = BYTES_AT_ONCE) -> None:
        """No reply is added to ``most_events``, or to ``bytes_at_once``."""
        self._most_events = most_events
        self._bytes_at_once = bytes_at_once
        self._decoder = decoder
        self._queue: asyncio.Queue[_Read] = asyncio.Queue(_REPLIES)
        self._is_amid_reply = False

    @property
    def is_empty(self) -> bool:
        """Whether everything that was read has been taken."""
        return self._queue.empty() and not self._is_amid_reply

    async def put(self, reply: Reply) -> None:
        """Add the reply of one round trip, once there is room."""
        size = sum(len(event.raw) for event in reply.events)
        if size <= self._bytes_at_once:
            decoded = [self._decoder.decode(raw) for raw in reply.events]
            await self._queue.put(_Read((), decoded, reply.token, size))
            return
        *parts, last = _parts(reply.events, self._bytes_at_once)
        self._is_amid_reply = True
        for part, size in parts:
            await self._put_heavy(_Read(part, (), None, size))
        self._is_amid_reply = False
        await self._put_heavy(_Read(last[0], (), reply.token, last[1]))

    async def _put_heavy(self, read: _Read) -> None:
        """Add a part; a large event only when the parts before are committed, so that no more than two are held."""
        if read.size > self._bytes_at_once:
            await self._queue.join()
        await self._queue.put(read)

    async def next_batch(self) -> Batch:
        """Return the gathered replies, at least one or a part, bounded by events and bytes; then call ``done``."""
        reads = [await self._queue.get()]
        while not self._queue.empty() and self._has_room(reads):
            reads.append(self._queue.get_nowait())
        events: list[StreamEvent] = []
        for read in reads:
            events += read.events
            if read.raw:
                events += [self._decoder.decode(raw) for raw in read.raw]
                await asyncio.sleep(0)
        return Batch(events, reads[-1].token, len(reads))

    def _has_room(self, reads: Sequence[_Read]) -> bool:
        return _count(reads) < self._most_events and sum(read.size for read in reads) < self._bytes_at_once

    def done(self, batch: Batch) -> None:
        """Note that the batch is committed."""
        for _ in range(batch.reads):
            self._queue.task_done()

    async def all_done(self) -> None:
        """Return once all replies are committed."""
        await self._queue.join()


def _parts(events: Sequence[RawBSONDocument], most: int) -> Iterator[tuple[Sequence[RawBSONDocument], int]]:
    """Yield events in order, in parts of up to ``most`` bytes where one event alone is not larger, and their sizes."""
    part: list[RawBSONDocument] = []
    size = 0
    for event in events:
        if part and size + len(event.raw) > most:
            yield part, size
            part, size = [], 0
        part.append(event)
        size += len(event.raw)
    yield part, size


def _count(reads: Sequence[_Read]) -> int:
    return sum(len(read.events) or len(read.raw) for read in reads)
