"""The messages between the daemon and its rendering process: a length in four bytes, then a BSON document."""

import signal
import struct
from typing import Final

import bson

_HEAD: Final = struct.Struct(">I")
HEAD_BYTES: Final = _HEAD.size

# Ends the process and its children; other signals may come from a terminal or a service manager.
END: Final = signal.SIGUSR1

# The keys of an answer; each answer has one of them.
TEXTS: Final = "texts"  # the rendered texts under the names of their sources
PROBLEM: Final = "problem"  # why the template cannot be rendered
ENDED: Final = "ended"  # the signal that ended the process while it rendered, or 0


def framed(document: bytes) -> bytes:
    """Return a BSON document as it is sent."""
    return _HEAD.pack(len(document)) + document


def answer(kind: str, content: object) -> bytes:
    """Return an answer as it is sent."""
    return framed(bson.encode({kind: content}))


def length_of(head: bytes) -> int:
    """Return the length of the document that follows ``head``."""
    length: int = _HEAD.unpack(head)[0]
    return length
