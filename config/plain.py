"""Any value as plain JSON data: short, without credentials, and never an error.

The values of a log line come from documents that anybody may have written. A huge, deep, odd or hostile value is
shortened or replaced; the rest of the line comes out unchanged.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from config.redaction import redacted

MAX_TEXT: Final = 2_000
MAX_ITEMS: Final = 50
MAX_DEPTH: Final = 4
_READ: Final = 16_000  # characters of a longer text that are looked at
_LARGEST_INTEGER: Final = 2**63 - 1


def plain(value: object, depth: int = 0) -> Any:
    """Return ``value`` as JSON data; ids and everything else that JSON lacks become strings."""
    try:
        return _plain(value, depth)
    except Exception:  # a broken __str__, a container that changes or lies: its place is taken by its type
        return f"<unprintable {type(value).__name__}>"


def plain_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return ``text`` redacted, cut to ``limit`` characters and free of what UTF-8 cannot hold."""
    if len(text) <= limit and text.isascii() and "://" not in text:  # nearly every text there is
        return text
    shown = redacted(text[:_READ]).encode("utf-8", "replace").decode()
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(text)} characters)"


def _plain(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return plain_text(str.__str__(value))
    if isinstance(value, int):
        return (
            int(value) if -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER else f"<integer of {value.bit_length()} bits>"
        )
    if isinstance(value, float):
        return float(value) if value - value == 0 else repr(float(value))
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {plain_text(str(key)): plain(item, depth + 1) for key, item in islice(value.items(), MAX_ITEMS)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in islice(value, MAX_ITEMS)]
    return plain_text(str(value))


def timestamp(at: datetime) -> str:
    """Return an instant as ISO 8601 in UTC with milliseconds; a naive one is taken as UTC, as BSON's are."""
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
