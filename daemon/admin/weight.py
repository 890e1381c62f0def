"""Limit the size of documents, and of lists of them, that are read for people: an edit by hand may make any size.

The server cuts larger documents, so neither the network nor the event loop carries them. A document that was cut has a
field ``cut`` with the size of the whole, and texts with their sizes in the place of the values left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection

from daemon.admin.identifier import exactly, readings
from daemon.admin.slices import Slices
from daemon.mongo.codec import CODEC, RAW_CODEC

SHOWN_BYTES: Final = 1024 * 1024  # of a document that is shown alone
LISTED_BYTES: Final = 64 * 1024  # of a document in a list
PAGE_BYTES: Final = 1024 * 1024  # of all documents of a page; the page ends before the one that exceeds it
_FIELDS: Final = 60  # fields of a cut document that are looked at, each shown up to 1/64 of the limit
_BATCH: Final = 50  # documents that the driver decodes at once
_SAYS: Final = "the document is too large to be shown whole: larger values are left out"

Document = dict[str, Any]


def cut_stage(most: int) -> Document:
    """Return the stage that cuts documents of more than ``most`` bytes."""
    size = {"$bsonSize": {"v": "$$this.v"}}
    left_out = {"$concat": ["(left out: ", {"$toString": size}, " bytes)"]}
    shorter = {"$cond": [{"$lte": [size, most // 64]}, "$$this.v", left_out]}
    fields = {"$slice": [{"$objectToArray": "$$ROOT"}, _FIELDS]}
    kept = {"$map": {"input": fields, "in": {"k": "$$this.k", "v": shorter}}}
    note = {"k": "cut", "v": {"bytes": {"$bsonSize": "$$ROOT"}, "says": _SAYS}}
    cut = {"$arrayToObject": {"$concatArrays": [kept, [note]]}}
    return {"$replaceWith": {"$cond": [{"$lte": [{"$bsonSize": "$$ROOT"}, most]}, "$$ROOT", cut]}}


def light(field: str, most: int = 1024) -> Document:
    """Return the expression, for a projection, of a field's value that is small.

    Of a larger text the result is the beginning, of another larger value a text with its size. A missing field stays
    missing.
    """
    size = {"$bsonSize": {"v": f"${field}"}}
    left_out = {"$concat": ["(left out: ", {"$toString": size}, " bytes)"]}
    beginning = {"$concat": [{"$substrCP": [f"${field}", 0, most // 4]}, "…"]}
    cut = {"$cond": [{"$eq": [{"$type": f"${field}"}, "string"]}, beginning, left_out]}
    return {"$cond": [{"$lte": [size, most]}, f"${field}", cut]}


def cut_bytes(document: Mapping[str, Any]) -> int | None:
    """Return the size of the whole of a document that was cut, None for a whole one."""
    note = document.get("cut")
    return note["bytes"] if isinstance(note, Mapping) and note.get("says") == _SAYS else None


async def find_by_id(collection: AsyncCollection[Document], text: str, session: Any = None) -> Document | None:
    """Return the document whose id a text means, cut where it is too large; None where there is none."""
    for reading in readings(text):
        found = await find_exactly(collection, reading, session)
        if found is not None:
            return found
    return None


async def find_exactly(collection: AsyncCollection[Document], document_id: Any, session: Any = None) -> Document | None:
    """Return the document with this id, cut where it is too large; None where there is none."""
    pipeline: list[Document] = [{"$match": {"_id": exactly(document_id)}}, {"$limit": 1}, cut_stage(SHOWN_BYTES)]
    found = await (await collection.aggregate(pipeline, session=session)).to_list()
    return found[0] if found else None


async def page_of(
    collection: AsyncCollection[Any], pipeline: Sequence[Mapping[str, Any]], limit: int, most: int = LISTED_BYTES
) -> tuple[list[Document], bool]:
    """Return at most ``limit`` documents of a pipeline, of PAGE_BYTES together, and whether there are more.

    Each that has more than ``most`` bytes is cut.
    """
    raw: AsyncCollection[RawBSONDocument] = collection.with_options(codec_options=RAW_CODEC)
    stages = [*pipeline, {"$limit": limit + 1}, cut_stage(most)]
    found: list[Document] = []
    weight, slices = 0, Slices()
    async with await raw.aggregate(stages, batchSize=_BATCH) as cursor:
        async for each in cursor:
            weight += len(each.raw)
            if len(found) == limit or (found and weight > PAGE_BYTES):
                return found, True
            found.append(bson.decode(each.raw, CODEC))
            await slices.go_on()
    return found, False


def records_in(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a list that the daemon writes; other values, put there by hand, are skipped."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
