"""Read documents that events do not carry, and the results of events that are read again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection

from daemon.executions.entity import Entities, EntityReader
from daemon.mongo.heavy import HeavyDocument, opened
from daemon.stream.decode import EventSubject, StreamEvent
from daemon.stream.manual import Manual
from daemon.stream.own_document import readable
from daemon.stream.past import Past, Replayed
from rules.identity import bson_bytes, entity_key

MOST_HEAVY_BYTES: Final = 32 * 1024 * 1024  # of large entities that are held at once, where there are several


@dataclass(frozen=True, slots=True)
class Current:
    """Documents as they are now, for events that came without an after-image, and for requests.

    ``covered``: for how many of the events. The rest would have too many large entities in memory at once.
    """

    covered: int
    entities: Mapping[tuple[str, Any], Mapping[str, Any]]
    workflows: Mapping[bytes, Mapping[str, Any]]
    replayed: Replayed | None = None


class CurrentReader:
    """Reads them with one query for each collection."""

    def __init__(
        self, entities: EntityReader, workflows: AsyncCollection[RawBSONDocument], manual: Manual, past: Past
    ) -> None:
        self._entities = entities
        self._workflows = workflows
        self._manual = manual
        self._past = past

    async def read(self, events: Sequence[StreamEvent], *, replayed_until: str) -> Current:
        """Return the documents that ``events`` lack; events up to the position ``replayed_until`` are read again."""
        entities, workflows = missing_documents(events)
        entities += self._manual.entities_of(events)
        some = await self._entities.read_light(entities)
        covered = await self._read_heavy(events, some) if some.heavy else len(events)
        documents: dict[bytes, Mapping[str, Any]] = {}
        if workflows:
            async for raw in self._workflows.find({"_id": {"$in": workflows}}):
                document = readable(opened(raw.raw))
                documents[bson_bytes(document["_id"])] = document
        is_read_again = bool(events) and events[-1].token <= replayed_until
        replayed = await self._past.replayed(events) if is_read_again else None
        return Current(covered, some.found, documents, replayed)

    async def _read_heavy(self, events: Sequence[StreamEvent], some: Entities) -> int:
        """Read the large entities of ``events`` in order; return for how many events all are read."""
        size = 0
        for count, event in enumerate(events):
            for wanted in (*missing_documents([event])[0], *self._manual.entities_of([event])):
                key = entity_key(*wanted)
                if key not in some.heavy:
                    continue
                if count and size > MOST_HEAVY_BYTES:
                    return count
                document = await self._entities.read_one(*some.heavy.pop(key))
                if document is not None:
                    some.found[key] = document
                    size += len(document.raw) if isinstance(document, HeavyDocument) else 0
        return len(events)


def missing_documents(events: Sequence[StreamEvent]) -> tuple[list[tuple[str, Any]], list[Any]]:
    """Return the entities (type, id) and the ids of workflows whose after-image is missing in ``events``."""
    entities: list[tuple[str, Any]] = []
    workflows: list[Any] = []
    for event in events:
        if event.operation == "delete" or event.document is not None:
            continue
        if event.subject is EventSubject.ENTITY and event.change is not None:
            entities.append((event.change.entity_type, event.change.entity_id))
        elif event.subject is EventSubject.WORKFLOW:
            workflows.append(event.document_id)
    return entities, workflows
