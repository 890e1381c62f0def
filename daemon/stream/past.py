"""The workflows as they were in a span of the stream that is read again.

After a reset of the checkpoint into the past, old edits are read again. Their versions are in ``workflow_versions``
already, so the edits switch nothing now: changes of the span are judged by the versions that were in force, and no
version is written (FAILURES.md, "--reset-checkpoint into the past"). Where old versions have been removed, the oldest
one left stands for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection

from daemon.stream.decode import EventSubject, StreamEvent
from daemon.versions.stored import version_from
from rules.identity import bson_bytes
from rules.version import Parse, Version
from rules.workflow import WorkflowStatus

_FIELDS: Final = {"workflow_id": 1, "version": 1, "since": 1, "at": 1, "status": 1, "is_deleted": 1}


@dataclass(frozen=True, slots=True)
class Replayed:
    """Results of events that are read again: the versions that their edits made, by token, and the requests among
    them that were answered.
    """

    versions: Mapping[str, Version]
    answered: frozenset[bytes]


class Past:
    """Finds the versions that were in force at a time, and the requests answered since."""

    def __init__(
        self,
        versions: AsyncCollection[dict[str, Any]],
        requests: AsyncCollection[dict[str, Any]],
        parse: Parse,
    ) -> None:
        self._versions = versions
        self._requests = requests
        self._parse = parse

    async def versions(self, at: datetime) -> list[Version]:
        """Return every workflow as it was just before ``at``; raise the driver's error if MongoDB does not answer."""
        known: dict[bytes, list[Mapping[str, Any]]] = {}
        async for found in self._versions.find({}, _FIELDS).sort([("workflow_id", 1), ("version", 1)]):
            known.setdefault(bson_bytes(found["workflow_id"]), []).append(found)
        found_versions = [await self._version(stored, at) for stored in known.values()]
        return [version for version in found_versions if version is not None]

    async def replayed(self, events: Sequence[StreamEvent]) -> Replayed:
        """Return the results of the edits and requests among events that are read again."""
        versions: dict[str, Version] = {}
        for event in events:
            if event.subject is EventSubject.WORKFLOW:
                version = await self._edited(event.document_id, event.at)
                versions |= {event.token: version} if version is not None else {}
        ids = [event.document_id for event in events if event.subject is EventSubject.REQUEST]
        answered: list[dict[str, Any]] = []
        if ids:
            wanted = {"_id": {"$in": ids}, "answered_at": {"$exists": True}}
            answered = await self._requests.find(wanted, {"_id": 1}).to_list()
        return Replayed(versions, frozenset(bson_bytes(request["_id"]) for request in answered))

    async def _edited(self, workflow_id: Any, at: datetime) -> Version | None:
        """Return a workflow as an edit ``at`` that time left it, None if there is no version of it."""
        found = await self._versions.find({"workflow_id": {"$eq": workflow_id}}, _FIELDS).sort("version", 1).to_list()
        return await self._version(found, at, is_included=True) if found else None

    async def _version(
        self, versions: Sequence[Mapping[str, Any]], at: datetime, *, is_included: bool = False
    ) -> Version | None:
        chosen = _in_force(versions, at, is_included=is_included)
        document = await self._versions.find_one({"_id": chosen["_id"]}) if chosen is not None else None
        if document is None:
            return None
        version = await version_from(document, self._parse)
        newest = versions[-1]
        is_over = newest.get("is_deleted") or newest.get("status") == WorkflowStatus.STOPPED
        # A workflow that has ended by now begins no execution.
        return replace(version, status=WorkflowStatus.STOPPED) if is_over else version


def _in_force(versions: Sequence[Mapping[str, Any]], at: datetime, *, is_included: bool) -> Mapping[str, Any] | None:
    """Return the newest version that was written before ``at``, or just then; None if there was no workflow yet."""
    chosen = versions[0] if versions[0]["version"] > 1 else None
    for version in versions:
        since = version.get("since") or version.get("at")
        if not isinstance(since, datetime) or since < at or (is_included and since == at):
            chosen = version
    return chosen
