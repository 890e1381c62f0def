"""Make the request to the rendering process: sources and values as BSON, cut to the limits of a rendering.

An entity may have 16 MB; a rendering never uses more than its limits allow. Values beyond the limits are left out, so
that neither process has to carry them. A mark in the place of such a value makes a template that uses it fail with the
name of the limit. Values near the root come first, so that deep values do not push out the plain fields.
"""

from collections import deque
from collections.abc import Mapping, MutableMapping, MutableSequence
from datetime import datetime
from typing import Any, Final

import bson
from bson import Code, DBRef, Decimal128, Int64, ObjectId, Regex
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from actions.rendering_limit import (
    ALL_CHARACTERS,
    ALL_VALUES,
    LIST_LENGTH,
    SOURCE_CHARACTERS,
    VALUE_SIZE,
    entity_limit,
    list_limit,
    value_limit,
)
from config.error import PermanentActionError
from rules.budget import TooCostly

MARK: Final = 255  # the subtype of the binary value that stands where a value was left out
CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

_AS_THEY_ARE: Final = frozenset({int, float, bool, type(None), datetime, ObjectId, Decimal128, Int64})
_Holder = MutableMapping[Any, Any] | MutableSequence[Any]


def request_of(sources: Mapping[str, str], values: Mapping[str, Any]) -> bytes:
    """Return ``{sources, names, values}`` as BSON; ``names[i]`` are all names under which ``values[i]`` is known.

    Raises PermanentActionError for values that are no BSON.
    """
    names: dict[int, list[str]] = {}
    for name, value in values.items():
        names.setdefault(id(value), []).append(name)
    first_of_each = [values[each[0]] for each in names.values()]
    request = {
        "sources": {name: source[: SOURCE_CHARACTERS + 1] for name, source in sources.items()},
        "names": list(names.values()),
        "values": within_limits(first_of_each),
    }
    try:
        return bson.encode(request, codec_options=CODEC)
    except (BSONError, OverflowError, TypeError, UnicodeError, RecursionError) as error:
        raise PermanentActionError(
            f"expected values that MongoDB can hold, found others: {type(error).__name__}"
        ) from error


def decoded(request: bytes) -> dict[str, Any]:
    """Return the arguments of ``request_of``."""
    return bson.decode(request, codec_options=CODEC)


def within_limits(values: list[Any]) -> list[Any]:
    """Return a copy of ``values`` in which a mark stands for each value beyond the limits."""
    room = _Room()
    root: list[Any] = [None]
    waiting: deque[tuple[Any, _Holder, Any]] = deque([(values, root, 0)])
    while waiting:
        container, holder, key = waiting.popleft()
        mark = room.mark_for(container)
        if mark is not None:
            holder[key] = mark
            continue
        is_document = isinstance(container, Mapping)
        copy: Any = _entries(container) if is_document else list(container)
        holder[key] = copy
        for each, value in copy.items() if is_document else enumerate(copy):
            kind = type(value)
            if kind in _AS_THEY_ARE or value is _NO_ROOM:
                continue
            if kind is DBRef:
                copy[each] = value = value.id
            if isinstance(value, dict | list | tuple | Mapping):
                waiting.append((value, copy, each))
            else:
                copy[each] = room.admitted(value)
    return list(root[0])


def _entries(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document, with a mark for each value that would take too long to decode."""
    if type(document) is dict:
        return document.copy()
    found: dict[str, Any] = {}
    for name in document:
        try:
            found[name] = document[name]
        except TooCostly:
            found[name] = _NO_ROOM
    return found


class _Room:
    """The room that is left for the values of one rendering."""

    def __init__(self) -> None:
        self._values = ALL_VALUES
        self._characters = ALL_CHARACTERS

    def mark_for(self, container: Any) -> Binary | None:
        """Count a container's entries and return None; or return the mark that names the limit they exceed."""
        try:
            length = len(container)
        except TooCostly:
            return _LONG_LIST
        if length > LIST_LENGTH:
            return _LONG_LIST
        characters = sum(map(len, container)) if isinstance(container, Mapping) else 0
        if length > self._values or characters > self._characters:
            return _NO_ROOM
        self._values -= length
        self._characters -= characters
        return None

    def admitted(self, value: Any) -> Any:
        """Return a value that is no container, or the mark that names the limit it exceeds."""
        if isinstance(value, Regex):
            value = value.pattern
        elif isinstance(value, Code):
            value = str(value)  # without its scope, which may hold anything
        if not isinstance(value, str | bytes):
            return value
        if len(value) > VALUE_SIZE:
            return _LONG_TEXT
        if len(value) > self._characters:
            return _NO_ROOM
        self._characters -= len(value)
        return bytes(value) if isinstance(value, Binary) and value.subtype == MARK else value


def _mark(limit: str) -> Binary:
    return Binary(limit.encode(), MARK)


_LONG_TEXT: Final = _mark(value_limit())
_LONG_LIST: Final = _mark(list_limit())
_NO_ROOM: Final = _mark(entity_limit())
