"""The stream to read: its database, its pipeline, and the subjects of its events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Collections
from daemon.stream.cursor import pipeline_for, pipeline_hash
from daemon.stream.decode import Decoder


@dataclass(frozen=True, slots=True)
class Source:
    """One stream. ``watched`` are the collections whose images the daemon needs."""

    database: AsyncDatabase[dict[str, Any]]
    state: AsyncCollection[dict[str, Any]]
    pipeline: Sequence[Mapping[str, Any]]
    pipeline_hash: str
    decoder: Decoder
    watched: frozenset[str]


def source_of(database: AsyncDatabase[dict[str, Any]], names: Collections, entities: Mapping[str, str]) -> Source:
    """Return the stream of ``database``; ``entities`` maps entity type to collection."""
    by_collection = {collection: entity_type for entity_type, collection in entities.items()}
    pipeline = pipeline_for(list(by_collection), names.workflows, (names.requests, names.effects))
    return Source(
        database,
        database[names.state],
        pipeline,
        pipeline_hash(pipeline),
        Decoder(by_collection, names.workflows, names.requests, names.effects),
        frozenset((*by_collection, names.workflows)),
    )
