"""Decode a large document value by value, each when it is asked for.

Decoding 16 MB at once takes up to several tenths of a second. A judgement asks for a few fields, and the others are
skipped by their length. The decoding of one judgement is counted, in steps of about 0.1 µs, and refused as
``too_costly`` beyond a limit (promise 8). The document is a RawBSONDocument, so the driver stores it unchanged.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from bson.raw_bson import RawBSONDocument

from daemon.mongo.codec import BYTES_AT_ONCE, CONTAINERS, DOCUMENT, RAW_CODEC, decoded, size_of
from rules.budget import TooCostly

HEAVY: Final = 256 * 1024  # bytes; from then on a document is decoded value by value
MOST_STEPS: Final = 200_000  # of one judgement, for both images of a change together
MOST_NAMES: Final = 15_000  # of one document, the first ones
_PER_ELEMENT: Final = 10  # steps that Python takes to pass over one element and to decode it
_PER_OBJECT: Final = 25  # likewise, of a kind that the driver makes an object of in Python
_OBJECTS: Final = frozenset({*CONTAINERS, 0x05, 0x09, 0x0B, 0x0D, 0x0F, 0x13})
_COUNTED: Final = 512  # bytes; the elements of a smaller value are not counted
_BYTES_A_STEP: Final = 256
_PLAIN_BYTES_A_STEP: Final = 16

# A run of numbers, booleans and nulls: skipping and decoding them takes about as long as a step.
_PLAIN: Final = re.compile(
    rb"(?:\x10[0-9]{1,8}\0.{4}|[\x01\x12][0-9]{1,8}\0.{8}|\x0a[0-9]{1,8}\0|\x08[0-9]{1,8}\0.){1,1000}+", re.DOTALL
)


class TooHeavy(TooCostly):
    """A judgement would decode too much of a large document."""

    def __init__(self) -> None:
        super().__init__(MOST_STEPS)

    @property
    def detail(self) -> dict[str, str]:
        """The stored form: ``{condition, limit}``."""
        return {"condition": self.path, "limit": _LIMIT}

    def __str__(self) -> str:
        return f"too_costly: {self.path or 'the entity'} takes more than {_LIMIT}"


_LIMIT: Final = (
    f"{MOST_STEPS:,} steps of decoding, or {MOST_NAMES:,} field names, of a document above {HEAVY // 1024} KB"
)


class Steps:
    """The steps that one judgement may still take to decode."""

    __slots__ = ("left", "limit")

    def __init__(self) -> None:
        self.left = self.limit = MOST_STEPS

    def spend(self, steps: int) -> None:
        """Count steps that are about to be taken; raise TooHeavy if that is more than are left."""
        if steps > self.left:
            raise TooHeavy
        self.left -= steps


class HeavyDocument(RawBSONDocument):
    """A document that decodes values one by one, and keeps them; raises TooHeavy at the limits."""

    __slots__ = ("_at", "_data", "_is_part", "_places", "_steps", "_values")

    def __init__(self, data: bytes | memoryview, steps: Steps | None = None) -> None:
        """``steps`` are shared with the document that this one is a part of."""
        data = bytes(data)  # a copy: the rest of the server's answer can be freed
        super().__init__(data, RAW_CODEC)
        self._data = data
        self._is_part = steps is not None
        self._steps = steps or Steps()
        self._at = 4  # the first element that was not read
        self._places: dict[str, tuple[int, int, int]] = {}  # by name: kind, start and size of the value
        self._values: dict[str, Any] = {}

    def renew(self, steps: int) -> None:
        """Begin another judgement, which may take so many steps."""
        self._steps.limit = self._steps.left = steps

    @property
    def steps_taken(self) -> int:
        """How many steps the judgement has taken so far, with those for the other image of the change."""
        return self._steps.limit - self._steps.left

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            if not self._find(name):
                raise KeyError(name)
            is_id = name == "_id" and not self._is_part  # every document needs its id, at any cost
            self._values[name] = self._value(*self._places[name], is_counted=not is_id)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name)

    def __iter__(self) -> Iterator[str]:
        self._find(None)
        return iter(self._places)

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        self._find(None)
        return len(self._places)

    def items(self) -> Any:
        """Return a view that decodes each value when it is reached."""
        return super(RawBSONDocument, self).items()

    def sizes(self) -> dict[str, int]:
        """Return how many bytes each value takes, of the first fields only where there are too many."""
        with suppress(TooHeavy):
            self._find(None)
        return {name: size for name, (_, _, size) in self._places.items()}

    def only(self, names: Collection[str]) -> "HeavyDocument":
        """Return a document that holds nothing but the fields ``names``, of those that ``sizes`` told of."""
        parts = [
            bytes((kind,)) + name.encode() + b"\0" + self._data[start : start + size]
            for name, (kind, start, size) in self._places.items()
            if name in names
        ]
        return HeavyDocument(_document(b"".join(parts)))

    def part(self, name: str) -> memoryview | None:
        """Return the document that the field ``name`` holds, undecoded, None if it holds none."""
        if not self._find(name) or self._places[name][0] != DOCUMENT:
            return None
        _, start, size = self._places[name]
        return memoryview(self._data)[start : start + size]

    def __repr__(self) -> str:
        return f"HeavyDocument of {len(self._data)} bytes"

    def _find(self, name: str | None) -> bool:
        """Read elements up to the one of ``name``; return whether there is one. None: read all."""
        data, places = self._data, self._places
        while name not in places:
            kind = data[self._at]
            if kind == 0:
                return False
            if len(places) >= MOST_NAMES:
                raise TooHeavy
            self._steps.spend(_PER_ELEMENT)
            end = data.index(0, self._at + 1)
            size = size_of(data, end + 1, kind)
            places[data[self._at + 1 : end].decode(errors="replace")] = (kind, end + 1, size)
            self._at = end + 1 + size
        return True

    def _value(self, kind: int, start: int, size: int, *, is_counted: bool) -> Any:
        data = self._data
        if not is_counted:
            return decoded(_document(bytes((kind, 0)) + data[start : start + size]))[""]
        if kind == DOCUMENT and size > HEAVY:
            self._steps.spend(size // _BYTES_A_STEP)
            return HeavyDocument(data[start : start + size], self._steps)
        if kind in CONTAINERS and size > _COUNTED:
            self._count(start)
        self._steps.spend(1 + size // _BYTES_A_STEP)
        return decoded(_document(bytes((kind, 0)) + data[start : start + size]))[""]

    def _count(self, start: int) -> None:
        """Count the steps that it takes to decode the container at ``start``, with everything in it."""
        data, waiting = self._data, [start]
        while waiting:
            at = waiting.pop() + 4
            while (kind := data[at]) != 0:
                plain = _PLAIN.match(data, at)
                if plain is not None:
                    self._steps.spend(1 + (plain.end() - at) // _PLAIN_BYTES_A_STEP)
                    at = plain.end()
                    continue
                self._steps.spend(_PER_OBJECT if kind in _OBJECTS else _PER_ELEMENT)
                place = data.index(0, at + 1) + 1
                if kind in CONTAINERS:
                    waiting.append(place)
                at = place + size_of(data, place, kind)


def _document(elements: bytes) -> bytes:
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"


def opened(raw: bytes | memoryview) -> Mapping[str, Any]:
    """Return the document that ``raw`` holds: decoded, or as a HeavyDocument if it is large."""
    return HeavyDocument(raw) if len(raw) > HEAVY else decoded(raw)


def renew(document: Mapping[str, Any] | None) -> None:
    """Begin another judgement of ``document``, with all steps left."""
    if isinstance(document, HeavyDocument):
        document.renew(MOST_STEPS)


async def opened_all(documents: Iterable[RawBSONDocument]) -> list[Mapping[str, Any]]:
    """Return the opened ``documents``; the event loop turns between them where they are many."""
    found: list[Mapping[str, Any]] = []
    size = 0
    for document in documents:
        found.append(opened(document.raw))
        size += len(document.raw)
        if size > BYTES_AT_ONCE:
            size = 0
            await asyncio.sleep(0)
    return found
