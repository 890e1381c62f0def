"""The first start: the workflows as they are at one moment, and the stream from just after it.

A snapshot read at operation time T gives the workflows; the stream begins at the first event after T, so nothing
falls between the two. What happened to entities before is not looked at: a first start begins at now.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from bson.codec_options import CodecOptions
from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.mongo.codec import CODEC
from daemon.mongo.transaction import in_transaction
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.version import version_writes
from daemon.stream.workflow_index import WorkflowIndex
from rules.head import Head, Parse, edited

_PAGE: Final = 1_000
_TIMEOUT_S: Final = 60.0


async def begin(
    database: AsyncDatabase[dict[str, Any]],
    names: Collections,
    clock: ServerClock,
    parse: Parse,
    *,
    pipeline: str,
    replica_set: str,
) -> None:
    """Store the first checkpoint and a version of every workflow; nothing happens if there is a checkpoint already.

    Raise the driver's error if the database does not answer.
    """
    reply = await database.command("ping")
    taken_at: Timestamp = reply["operationTime"]
    heads = [
        head
        for document in await _snapshot(database, names.workflows, taken_at)
        if (head := edited(None, document["_id"], document, parse)) is not None
    ]
    known = WorkflowIndex(parse)
    await known.load(database[names.versions])
    heads = [_continued(head, known.get(head.workflow_id)) for head in heads]
    now = clock.now()
    checkpoint = Checkpoint(
        0, 0, None, Timestamp(taken_at.time, taken_at.inc + 1), 0, NO_CAUSES, now, pipeline, replica_set
    )

    async def store(session: AsyncClientSession) -> None:
        await database[names.state].insert_one(checkpoint.to_document(now), session=session)
        writes = [write for head in heads for write in version_writes(head, 0, now)]
        if writes:
            await database[names.versions].bulk_write(writes, session=session)

    try:
        await in_transaction(database.client, store, timeout_s=_TIMEOUT_S)
        if CRASH_AT is not None:
            reach(CrashPoint.FIRST_START)
    except DuplicateKeyError:
        return  # another replica was first


def _continued(head: Head, before: Head | None) -> Head:
    """Return a head whose number follows the versions that an earlier life of this database left behind."""
    if before is None:
        return head
    workflow = replace(head.workflow, version=before.version + 1) if head.workflow is not None else None
    return replace(head, version=before.version + 1, workflow=workflow)


async def _snapshot(database: AsyncDatabase[dict[str, Any]], collection: str, at: Timestamp) -> list[Mapping[str, Any]]:
    """Return all documents of a collection as they were at an operation time."""
    async with database.client.start_session() as session:
        codec = cast(CodecOptions[Mapping[str, Any]], CODEC)  # the driver's own annotation is narrower than it is
        reply = await database.command(
            {"find": collection, "batchSize": _PAGE, "readConcern": {"level": "snapshot", "atClusterTime": at}},
            codec_options=codec,
            session=session,
        )
        documents: list[Mapping[str, Any]] = list(reply["cursor"]["firstBatch"])
        while reply["cursor"]["id"]:
            reply = await database.command(
                {"getMore": reply["cursor"]["id"], "collection": collection, "batchSize": _PAGE},
                codec_options=codec,
                session=session,
            )
            documents += reply["cursor"]["nextBatch"]
    return documents
