"""Where and how the stream is opened, and what it means when that fails.

An event over 16 MB fails the whole batch it is in, good events before it included (MONGODB.md, "Stream position").
So the stream is then read one event at a time up to it, that one without its images, and in batches again after it.
"""

from enum import Enum

from pymongo.errors import OperationFailure

from config.error import CheckpointCorrupt, HistoryLost, ReflexdError
from daemon.mongo.failure import CORRUPT_TOKEN_CODES, EVENT_TOO_LARGE_CODE, HISTORY_LOST_CODES, UNRESUMABLE_CODES
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.cursor import BATCH_EVENTS, ChangeCursor, Position, StreamBatch


class Reading(Enum):
    """How the stream is read."""

    BATCHES = "batches"  # many events at a time, with images
    SINGLY = "singly"  # one at a time, with images: an event too large for the server is near
    LEAN = "lean"  # one event without images: it is the one that is too large

    @property
    def narrower(self) -> "Reading":
        """How to read on where an event was too large for this."""
        return Reading.SINGLY if self is Reading.BATCHES else Reading.LEAN

    def has_served(self, events: int) -> bool:
        """Return whether the stream can be read in batches again after so many new events."""
        match self:
            case Reading.BATCHES:
                return False
            case Reading.SINGLY:
                return events >= BATCH_EVENTS  # the batch that failed is behind us
            case Reading.LEAN:
                return events >= 1


class ReadOtherwise(ReflexdError):
    """Everything read so far is committed; the stream is to be opened again and read as ``reading`` says."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(f"the stream is read on: {reading.value}")
        self.reading = reading


async def open_stream(
    cursor: ChangeCursor, checkpoint: Checkpoint, pipeline: str, reading: Reading
) -> tuple[StreamBatch, str]:
    """Open the stream; return its first batch, and the token up to which events were handled before.

    Under another pipeline a token may meet a filter that hides its own event; then the stream starts at the
    cluster time of the last event, which comes again with its neighbours. Tokens sort as their text does.
    """
    events, with_images = (BATCH_EVENTS if reading is Reading.BATCHES else 1), reading is not Reading.LEAN
    from_time = Position(None, checkpoint.cluster_time)
    seen = "" if checkpoint.token is None else str(checkpoint.token["_data"])
    if checkpoint.token is None or checkpoint.pipeline != pipeline:
        return await cursor.open(from_time, events=events, with_images=with_images), seen
    try:
        return await cursor.open(Position(checkpoint.token), events=events, with_images=with_images), ""
    except OperationFailure as error:
        if error.code not in UNRESUMABLE_CODES:
            raise
        return await cursor.open(from_time, events=events, with_images=with_images), seen


def explained(error: OperationFailure, reading: Reading, checkpoint: Checkpoint) -> Exception:
    """Return what an error of the stream means for the reader."""
    if error.code == EVENT_TOO_LARGE_CODE and reading is not Reading.LEAN:
        return ReadOtherwise(reading.narrower)
    if error.code in HISTORY_LOST_CODES:
        return HistoryLost(f"the stream position of {checkpoint.cluster_time} is no longer in the oplog")
    if error.code in CORRUPT_TOKEN_CODES:
        return CheckpointCorrupt(f"checkpoint: its token cannot be used (code {error.code})")
    return error
