"""How BSON becomes Python: no document of the CRM can break decoding (DESIGN section 4, last line).

The server stores one thing that the driver refuses to read: binary data of the old subtype 2 whose inner length is
wrong. ``decoded`` reads such a value as plain binary data.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
RAW_CODEC: Final[CodecOptions[RawBSONDocument]] = CodecOptions(
    document_class=RawBSONDocument,
    tz_aware=True,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

BYTES_AT_ONCE: Final = 1024 * 1024  # decoded between two turns of the event loop, where one document is not larger
_DOCUMENTS: Final = frozenset({0x03, 0x04})
_TEXTS: Final = frozenset({0x02, 0x0D, 0x0E})
_BINARY: Final = 0x05
_REGEX: Final = 0x0B
_POINTER: Final = 0x0C  # a text and twelve bytes
_SCOPED_CODE: Final = 0x0F  # its length is that of the whole
_OLD_SUBTYPE: Final = 2
_SIZES: Final = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}


def raw_collection(database: AsyncDatabase[dict[str, Any]], name: str) -> AsyncCollection[RawBSONDocument]:
    """Return a collection whose documents come undecoded: for ``decoded``, one at a time."""
    raw = database.get_collection(name, codec_options=cast(CodecOptions[dict[str, Any]], RAW_CODEC))
    return cast(AsyncCollection[RawBSONDocument], raw)


def decoded(raw: bytes | memoryview) -> dict[str, Any]:
    """Return the document that ``raw`` holds, whatever the server has let somebody store in it."""
    try:
        return bson.decode(raw, CODEC)
    except InvalidBSON:
        readable = bytearray(raw)
        _relabel(readable, 0)
        return bson.decode(readable, CODEC)


async def decoded_all(documents: Iterable[RawBSONDocument]) -> list[dict[str, Any]]:
    """Return what ``documents`` hold, without holding up the event loop by many that are large."""
    found: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        found.append(decoded(document.raw))
        size += len(document.raw)
        if size > BYTES_AT_ONCE:
            size = 0
            await asyncio.sleep(0)
    return found


def _relabel(data: bytearray, start: int) -> None:
    """Make plain binary data of every value of subtype 2 in the document at ``start`` whose inner length is wrong."""
    place = start + 4
    while (kind := data[place]) != 0:
        place = data.index(0, place + 1) + 1
        if kind in _DOCUMENTS:
            _relabel(data, place)
        elif kind == _BINARY and data[place + 4] == _OLD_SUBTYPE:
            length = _length(data, place)
            if length < 4 or _length(data, place + 5) != length - 4:
                data[place + 4] = 0
        place += _size(data, place, kind)


def _size(data: bytearray, place: int, kind: int) -> int:
    """Return how many bytes the value of a kind takes that begins at ``place``."""
    if kind in _DOCUMENTS or kind == _SCOPED_CODE:
        return _length(data, place)
    if kind in _TEXTS:
        return 4 + _length(data, place)
    if kind == _BINARY:
        return 5 + _length(data, place)
    if kind == _POINTER:
        return 4 + _length(data, place) + 12
    if kind == _REGEX:
        return data.index(0, data.index(0, place) + 1) + 1 - place
    return _SIZES.get(kind, 0)


def _length(data: bytearray, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "little", signed=True)
