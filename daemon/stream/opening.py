"""Open the stream at a position, and classify the errors of the stream."""

from pymongo.errors import OperationFailure

from config.error import CheckpointCorrupt, HistoryLost, ReflexdError
from daemon.mongo.failure import CORRUPT_TOKEN_CODES, EVENT_TOO_LARGE_CODE, HISTORY_LOST_CODES, UNRESUMABLE_CODES
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.cursor import ChangeCursor, Position, Reply


class EventTooLarge(ReflexdError):
    """An event is over 16 MB. Everything read so far is committed; the stream is to be opened again, with images cut.

    Such an event fails its whole reply, with the events before it (MONGODB.md, "Stream position").
    """

    def __init__(self) -> None:
        super().__init__("an event is over 16 MB: from now on the server leaves images out where they do not fit")


async def open_stream(
    cursor: ChangeCursor, checkpoint: Checkpoint, pipeline: str, *, cuts_images: bool
) -> tuple[Reply, str]:
    """Open the stream; return its first reply, and the token up to which events were handled before.

    Under another pipeline a token may meet a filter that hides its own event; then the stream starts at the
    cluster time of the last event, which comes again with its neighbours. Tokens sort as their text does.
    """
    from_time = Position(None, checkpoint.cluster_time)
    seen = "" if checkpoint.token is None else str(checkpoint.token["_data"])
    if checkpoint.token is None or checkpoint.pipeline != pipeline:
        return await cursor.open(from_time, cuts_images=cuts_images), seen
    try:
        return await cursor.open(Position(checkpoint.token), cuts_images=cuts_images), ""
    except OperationFailure as error:
        if error.code not in UNRESUMABLE_CODES:
            raise
        return await cursor.open(from_time, cuts_images=cuts_images), seen


def explained(error: OperationFailure, checkpoint: Checkpoint, *, cuts_images: bool) -> Exception:
    """Return the error that tells the reader what to do after an error of the stream."""
    if error.code == EVENT_TOO_LARGE_CODE and not cuts_images:
        return EventTooLarge()
    if error.code in HISTORY_LOST_CODES:
        return HistoryLost(f"the stream position of {checkpoint.cluster_time} is no longer in the oplog")
    if error.code in CORRUPT_TOKEN_CODES:
        return CheckpointCorrupt(f"checkpoint: its token cannot be used (code {error.code})")
    return error
