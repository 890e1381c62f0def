"""Decode BSON so that no document of the CRM can break decoding (DESIGN section 4, last line).

The server stores one kind of value that the driver refuses to read: binary data of the old subtype 2 whose inner length
is wrong. ``decoded`` reads such a value as plain binary data.
"""

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

BYTES_AT_ONCE: Final = 1024 * 1024  # decoded between two turns of the event loop; a larger document is decoded alone
DOCUMENT: Final = 0x03
CONTAINERS: Final = frozenset({DOCUMENT, 0x04})
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
    """Return the document that ``raw`` holds, even with values that the driver refuses to read."""
    try:
        return bson.decode(raw, CODEC)
    except InvalidBSON:
        readable = bytearray(raw)
        _relabel(readable, 0)
        return bson.decode(readable, CODEC)


def _relabel(data: bytearray, start: int) -> None:
    """Relabel each value of subtype 2 with a wrong inner length, in the document at ``start``, as plain binary data."""
    place = start + 4
    while (kind := data[place]) != 0:
        place = data.index(0, place + 1) + 1
        if kind in CONTAINERS:
            _relabel(data, place)
        elif kind == _BINARY and data[place + 4] == _OLD_SUBTYPE:
            length = _length(data, place)
            if length < 4 or _length(data, place + 5) != length - 4:
                data[place + 4] = 0
        place += size_of(data, place, kind)


def size_of(data: bytes | bytearray, place: int, kind: int) -> int:
    """Return how many bytes the value of a kind takes that begins at ``place``."""
    size = _SIZES.get(kind)
    if size is not None:
        return size
    if kind in CONTAINERS or kind == _SCOPED_CODE:
        return _length(data, place)
    if kind in _TEXTS:
        return 4 + _length(data, place)
    if kind == _BINARY:
        return 5 + _length(data, place)
    if kind == _POINTER:
        return 4 + _length(data, place) + 12
    if kind == _REGEX:
        return data.index(0, data.index(0, place) + 1) + 1 - place
    return 0


def _length(data: bytes | bytearray, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "little", signed=True)
