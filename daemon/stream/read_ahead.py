"""What was read from the stream and is not committed yet: a few batches, taken together as they have gathered.

A batch is decoded when it arrives, in the time in which a commit waits for the server; a heavy one only when it is
taken, with a pause between many bytes, so that few large documents are in memory decoded.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson.raw_bson import RawBSONDocument

from daemon.stream.cursor import BATCH_EVENTS, StreamBatch
from daemon.stream.decode import Decoder, Event

BATCH_BYTES: Final = 8 * 1024 * 1024
BYTES_AT_ONCE: Final = 1024 * 1024  # decoded in one go: about 10 ms
_BATCHES: Final = 4


@dataclass(frozen=True, slots=True)
class _Read:
    """One batch: undecoded events, or decoded ones, and their size in bytes."""

    raw: Sequence[RawBSONDocument]
    events: Sequence[Event]
    token: Mapping[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is committed together: the events of some batches, and the position after them."""

    events: list[Event]
    token: Mapping[str, Any]
    batches: int


class ReadAhead:
    """A bounded queue between the one who reads and the one who commits."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._queue: asyncio.Queue[_Read] = asyncio.Queue(_BATCHES)

    @property
    def is_empty(self) -> bool:
        """Whether everything that was read has been taken."""
        return self._queue.empty()

    async def put(self, batch: StreamBatch) -> None:
        """Add what one round trip brought, once there is room."""
        size = sum(len(event.raw) for event in batch.events)
        if size <= BYTES_AT_ONCE:
            decoded = [self._decoder.decode(raw) for raw in batch.events]
            await self._queue.put(_Read((), decoded, batch.token, size))
        else:
            await self._queue.put(_Read(batch.events, (), batch.token, size))

    async def gathered(self) -> Gathered:
        """Return what has gathered, at least one batch, bounded by events and bytes; tell of its end by ``done``."""
        reads = [await self._queue.get()]
        while not self._queue.empty() and _count(reads) < BATCH_EVENTS and sum(r.size for r in reads) < BATCH_BYTES:
            reads.append(self._queue.get_nowait())
        events: list[Event] = []
        for read in reads:
            events += read.events
            await self._decode(read.raw, events)
        return Gathered(events, reads[-1].token, len(reads))

    def done(self, gathered: Gathered) -> None:
        """Tell that what was gathered is committed."""
        for _ in range(gathered.batches):
            self._queue.task_done()

    async def all_done(self) -> None:
        """Return once everything that was put in is committed."""
        await self._queue.join()

    async def _decode(self, raw: Sequence[RawBSONDocument], into: list[Event]) -> None:
        """Decode events; between many bytes of them something else may run."""
        size = 0
        for event in raw:
            into.append(self._decoder.decode(event))
            size += into[-1].size
            if size > BYTES_AT_ONCE:
                size = 0
                await asyncio.sleep(0)


def _count(reads: Sequence[_Read]) -> int:
    return sum(len(read.events) or len(read.raw) for read in reads)
