"""Decode a workflow or request of several megabytes only as far as it can be valid.

The definition of a workflow may have 256 KB. Decoding more would take tenths of a second, only for an error (promise
8).
"""

from collections.abc import Mapping
from typing import Any, Final

from bson import Binary

from daemon.mongo.codec import decoded
from daemon.mongo.heavy import MOST_NAMES, HeavyDocument, opened
from rules.limit import MOST_BYTES
from rules.other_key import DEFINING_KEYS, MOST_KEYS

_MOST_BYTES: Final = MOST_BYTES + 64 * 1024  # the definition of a workflow, and small values beside it
_FIRST: Final = frozenset({"_id", "status", *DEFINING_KEYS})
_DOCUMENT: Final = "fullDocument"
_NOT_ASKED_FOR: Final = frozenset({_DOCUMENT, "fullDocumentBeforeChange", "updateDescription"})
_NOTHING: Final = Binary(b"")
_UNKNOWN_STATUS: Final = f"unknown, behind {MOST_NAMES:,} other keys"


def readable_event(event: HeavyDocument) -> Mapping[str, Any]:
    """Return the event of a heavy workflow or request with nothing but its document as it is now."""
    found = decoded(event.only(event.keys() - _NOT_ASKED_FOR).raw)
    document = event.part(_DOCUMENT)
    if document is not None:
        found[_DOCUMENT] = readable(opened(document))
    return found


def readable(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``document``; of a heavy one the defining keys and then the smallest values, up to 320 KB.

    A larger defining value becomes binary data of its size, so that the error shows the size; the rest is empty.
    """
    if not isinstance(document, HeavyDocument):
        return document
    sizes = document.sizes()
    names = sizes if len(sizes) <= MOST_KEYS else sizes.keys() & _FIRST  # with more it is refused
    kept, room = set(), _MOST_BYTES
    for name in sorted(names, key=lambda name: (name not in _FIRST, sizes[name])):
        room -= sizes[name]
        if room < 0:
            break
        kept.add(name)
    values = decoded(document.only(kept).raw)
    found = {name: values[name] if name in kept else _stand_in(name, size) for name, size in sizes.items()}
    if len(sizes) >= MOST_NAMES:
        found.setdefault("status", _UNKNOWN_STATUS)  # one that is missing would mean active
    return found


def _stand_in(name: str, size: int) -> Binary:
    return Binary(bytes(size)) if name in _FIRST else _NOTHING
