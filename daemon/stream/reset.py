"""Move the stream's position by hand: the way out when the checkpoint is corrupt or history is lost.

A position ahead of the present one leaves a gap, which is recorded. Behind the present one, changes are read again: the
executions that they made are found by their ids, and edits that were read before switch nothing again. A reader at work
notices, because its next commit is fenced.
"""

from datetime import UTC, datetime
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from config.error import CheckpointCorrupt, ConfigError
from config.settings import Collections
from daemon.clock import ServerClock
from daemon.event import Event
from daemon.stream.checkpoint import AHEAD_S, CHECKPOINT_ID, Checkpoint, checkpoint_from, position_of
from daemon.stream.first_start import FirstStart
from daemon.stream.gap import record_gap
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.origin import present_origin
from daemon.telemetry import emit
from daemon.versions.repair import mend_versions
from rules.version import Parse

NOW: Final = "now"


async def reset_checkpoint(
    database: AsyncDatabase[dict[str, Any]], names: Collections, parse: Parse, to: datetime | None
) -> None:
    """Move the checkpoint to the time ``to``, None for now; raise the driver's error if MongoDB does not answer.

    Raise ConfigError for a future time: the changes until then would be lost. Where the checkpoint cannot be read, the
    workflows are taken as they are now.
    """
    clock = ServerClock(database)
    await clock.sample()
    await mend_versions(database, names)
    state = database[names.state]
    origin, at = await present_origin(state)
    before = _readable(await state.find_one({"_id": CHECKPOINT_ID}) or {}, at)
    position = at if to is None else Timestamp(int(to.timestamp()), 1)
    if position.time > at.time + AHEAD_S:
        ahead = f"{_instant(position):%Y-%m-%d %H:%M:%S} UTC"
        raise ConfigError(f"--reset-checkpoint: expected now or a time that has come, found {ahead}")
    if before is not None and position > before.cluster_time:
        why = "the checkpoint was reset by hand"
        await record_gap(state, before.cluster_time, _instant(position), "reset", why, min(position, at))
    if before is None:
        await state.delete_one({"_id": CHECKPOINT_ID})
    is_ahead = before is not None and position > before.cluster_time
    if before is None or to is None or is_ahead:
        first_start = FirstStart(database, names, clock, parse)
        await first_start.begin(pipeline="", origin=origin, at=at, replaces=before, records_gap=to is None)
    if to is not None:
        fields = {"token": None, "cluster_time": position, "done": 0, **origin.to_document()}
        fields["replayed_until"] = _read_before(None if is_ahead else before, at)
        fields |= NO_CAUSES.to_document()
        await state.update_one({"_id": CHECKPOINT_ID}, {"$set": fields, "$inc": {"commit": 1}})
    emit(Event.CHECKPOINT_RESET, position=_instant(position))


def parse_position(text: str) -> datetime | None:
    """Return the time that a text names, None for ``now``; raise ValueError for other texts. UTC without a zone."""
    if text == NOW:
        return None
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    Timestamp(int(at.timestamp()), 1)  # raises ValueError for a time that no position can have
    return at


def _read_before(before: Checkpoint | None, now: Timestamp) -> str:
    """Return the position up to which edits were taken in: before the reset, or with the workflows as they are now."""
    if before is None:
        return position_of(Timestamp(now.time, now.inc + 1))
    return max(before.position, before.replayed_until)


def _readable(document: dict[str, Any], now: Timestamp) -> Checkpoint | None:
    """Return the checkpoint that a document holds, of any origin; None if it cannot be one, or lies in the future."""
    try:
        checkpoint = checkpoint_from(document)
    except CheckpointCorrupt:
        return None
    return checkpoint if checkpoint.cluster_time.time <= now.time else None


def _instant(at: Timestamp) -> datetime:
    return datetime.fromtimestamp(at.time, UTC)
