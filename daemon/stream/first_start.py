"""The first start: read the workflows as they are at one moment, and the stream from just after it.

A snapshot read at operation time T gives the workflows, and the stream begins at the first event after T, so no change
falls between the two. Changes of entities before T are not read: a first start begins now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from config.error import LeaseLost
from config.settings import Collections
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.mongo.snapshot import snapshot
from daemon.mongo.transaction import in_transaction
from daemon.stream.checkpoint import CHECKPOINT_ID, Checkpoint
from daemon.stream.gap import record_gap
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.origin import Origin
from daemon.stream.own_document import readable
from daemon.versions.edit_log import log_edits
from daemon.versions.stored import version_writes
from daemon.versions.workflow_index import WorkflowIndex
from rules.identity import bson_bytes
from rules.version import Parse, Version

_TIMEOUT_S: Final = 60.0


class FirstStart:
    """Stores a checkpoint to begin from."""

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], names: Collections, clock: ServerClock, parse: Parse
    ) -> None:
        self._database = database
        self._state = database[names.state]
        self._versions = database[names.versions]
        self._executions = database[names.executions]
        self._workflows = names.workflows
        self._clock = clock
        self._parse = parse

    async def begin(
        self,
        *,
        pipeline: str,
        origin: Origin,
        at: Timestamp | None = None,
        replaces: Checkpoint | None = None,
        records_gap: bool = True,
    ) -> None:
        """Store a checkpoint just after operation time ``at``, now if it is None, and the workflows as they were then.

        It replaces the checkpoint ``replaces``; where that is None it is the first one, and nothing happens if there
        is one already. Where executions were made before, the time since is recorded as a gap (``records_gap``). Raise
        LeaseLost if another reader was faster, and the driver's error if the database does not answer.
        """
        at, now = at or (await self._database.command("ping"))["operationTime"], self._clock.now()
        if replaces is None:
            seq, commit = await _used_numbers(self._executions, now), await _used_commits(self._versions)
        else:
            seq, commit = replaces.seq, replaces.commit + 1
        edits = await self._edits(at, seq, now)
        checkpoint = Checkpoint(commit, seq, None, Timestamp(at.time, at.inc + 1), 0, NO_CAUSES, now, pipeline, origin)
        if replaces is None and seq and records_gap:
            lost_since = await _last_run(self._executions)
            await record_gap(self._state, lost_since, now, "began anew", "there was no checkpoint any more", at)

        store = partial(self._store, checkpoint, replaces, [version for _, version in edits], now)
        try:
            await in_transaction(self._database.client, store, timeout_s=_TIMEOUT_S)
            if CRASH_AT is not None:
                reach(CrashPoint.FIRST_START)
        except DuplicateKeyError:
            return  # another replica was first
        log_edits(edits)

    async def _store(
        self,
        checkpoint: Checkpoint,
        replaces: Checkpoint | None,
        versions: Sequence[Version],
        now: datetime,
        session: AsyncClientSession,
    ) -> None:
        document = checkpoint.to_document(now)
        if replaces is None:
            await self._state.insert_one(document, session=session)
        else:
            expected = {"_id": CHECKPOINT_ID, "commit": replaces.commit}
            if (await self._state.replace_one(expected, document, session=session)).matched_count != 1:
                raise LeaseLost("another reader has moved the checkpoint")
        if writes := version_writes(versions, checkpoint.commit, now):
            await self._versions.bulk_write(writes, session=session)

    async def _edits(self, at: Timestamp, seq: int, now: datetime) -> list[tuple[Version | None, Version]]:
        """Return the workflows as they were at ``at``, each with its newest stored version."""
        known = WorkflowIndex(self._parse)
        await known.load(self._versions)
        pages = snapshot(self._database, self._workflows, at)
        documents = [readable(document) async for page in pages for document in page]
        return known.edits(replace(version.at(seq), since=now) for version in await _changed(known, documents))


async def _changed(known: WorkflowIndex, documents: Sequence[Mapping[str, Any]]) -> list[Version]:
    """Return the versions of the workflows that differ from their newest stored versions."""
    existing = {bson_bytes(document["_id"]) for document in documents}
    gone = [version for version in known if bson_bytes(version.workflow_id) not in existing]
    await known.prepare((document["_id"], document) for document in documents)
    found = [known.edit(document["_id"], document) for document in documents]
    found += [known.edit(version.workflow_id, None) for version in gone]
    return [version for version in found if version is not None]


async def _used_numbers(executions: AsyncCollection[dict[str, Any]], now: datetime) -> int:
    """Return a number that no stored execution exceeds: the milliseconds since 1970, 0 if there are no executions.

    Switches compare numbers, so numbering must not start again at 0 where executions are left.
    """
    if await executions.find_one({}, {"_id": 1}) is None:
        return 0
    return int(now.timestamp() * 1_000)


async def _used_commits(versions: AsyncCollection[dict[str, Any]]) -> int:
    """Return a commit number above those of all versions: replicas look for versions above the number they saw."""
    newest = await versions.find_one(
        {"changed_seq": {"$type": "number"}}, {"changed_seq": 1}, sort=[("changed_seq", -1)]
    )
    return 0 if newest is None else int(newest["changed_seq"]) + 1


async def _last_run(executions: AsyncCollection[dict[str, Any]]) -> Timestamp:
    """Return the time of the last change that started an execution: ids of executions begin with it."""
    newest = await executions.find_one({}, {"_id": 1}, sort=[("_id", -1)])
    return Timestamp(newest["_id"].generation_time, 1) if newest is not None else Timestamp(1, 1)
