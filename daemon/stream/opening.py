"""Open the stream at a position, and classify the errors of the stream.

An event over 16 MB fails its whole reply, with the events before it (MONGODB.md, "Stream position"). Then the stream is
read one event at a time up to that event, that event without its images, and many at a time after it.
"""

from enum import Enum

from pymongo.errors import OperationFailure

from config.error import CheckpointCorrupt, HistoryLost, ReflexdError
from daemon.mongo.failure import CORRUPT_TOKEN_CODES, EVENT_TOO_LARGE_CODE, HISTORY_LOST_CODES, UNRESUMABLE_CODES
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.cursor import REPLY_EVENTS, ChangeCursor, Position, Reply


class ReadMode(Enum):
    """The way in which the stream is read."""

    TOGETHER = "together"  # many events at a time, with images
    SINGLY = "singly"  # one at a time, with images: an event too large for the server is near
    LEAN = "lean"  # one event without images: it is the one that is too large

    @property
    def narrower(self) -> "ReadMode":
        """How to read on where an event was too large for this."""
        return ReadMode.SINGLY if self is ReadMode.TOGETHER else ReadMode.LEAN

    def has_served(self, events: int) -> bool:
        """Return whether many events can be read at a time again after so many new ones."""
        match self:
            case ReadMode.TOGETHER:
                return False
            case ReadMode.SINGLY:
                return events >= REPLY_EVENTS  # the events of the reply that failed are behind us
            case ReadMode.LEAN:
                return events >= 1


class ReadOtherwise(ReflexdError):
    """Everything read so far is committed; the stream is to be opened again and read in ``mode``."""

    def __init__(self, mode: ReadMode) -> None:
        super().__init__(f"the stream is read on: {mode.value}")
        self.mode = mode


async def open_stream(cursor: ChangeCursor, checkpoint: Checkpoint, pipeline: str, mode: ReadMode) -> tuple[Reply, str]:
    """Open the stream; return its first reply, and the token up to which events were handled before.

    Under another pipeline a token may meet a filter that hides its own event; then the stream starts at the
    cluster time of the last event, which comes again with its neighbours. Tokens sort as their text does.
    """
    events, with_images = (REPLY_EVENTS if mode is ReadMode.TOGETHER else 1), mode is not ReadMode.LEAN
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


def explained(error: OperationFailure, mode: ReadMode, checkpoint: Checkpoint) -> Exception:
    """Return the error that tells the reader what to do after an error of the stream."""
    if error.code == EVENT_TOO_LARGE_CODE and mode is not ReadMode.LEAN:
        return ReadOtherwise(mode.narrower)
    if error.code in HISTORY_LOST_CODES:
        return HistoryLost(f"the stream position of {checkpoint.cluster_time} is no longer in the oplog")
    if error.code in CORRUPT_TOKEN_CODES:
        return CheckpointCorrupt(f"checkpoint: its token cannot be used (code {error.code})")
    return error
