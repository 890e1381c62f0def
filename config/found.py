"""Show a value in an error message: on one line, at most 80 characters, and without ever raising.

A value in a document may be megabytes long, nested, or not printable. Error messages travel into logs, into
``observed.error`` and over HTTP, so they show the beginning of the value and nothing that cannot be encoded.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from bson import Binary, Code, DatetimeMS, Regex

from config.plain import timestamp

LONGEST_SHOWN: Final = 80

_LARGEST_SHOWN: Final = 10**60
_LONGEST_TEXT: Final = LONGEST_SHOWN - 20
_MOST_DEEP: Final = 2
_MOST_SHOWN: Final = 3  # of the members of an object or a list
_WORDS: Final = {None: "null", True: "true", False: "false"}
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,59}", re.ASCII)


def found(value: object) -> str:
    """Return ``value`` as a message shows it, at most 80 characters: ``'5x'``, ``null``, ``an empty object``."""
    if isinstance(value, Mapping):
        return cut(f"the object {_spelled(value, 0)}") if value else "an empty object"
    if isinstance(value, list | tuple):
        return cut(f"the list {_spelled(value, 0)}") if value else "an empty list"
    return cut(_spelled(value, 0))


def spelled(value: object) -> str:
    """Return ``value`` as an admin types it in mongosh, at most 80 characters: ``{a: 1, b: null}``, ``[true, 'x']``."""
    return cut(_spelled(value, 0))


def name_of(key: object) -> str:
    """Return a key as a path shows it: cut short, and escaped where it cannot be printed."""
    text = key[:LONGEST_SHOWN] if isinstance(key, str) else found(key)
    return cut(text if text.isprintable() else ascii(text)[1:-1])


def cut(text: str) -> str:
    """Return ``text``, shortened to 80 characters where it is longer."""
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def _spelled(value: object, depth: int) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, Mapping):
        members = (f"{_key(key)}: {_spelled(each, depth + 1)}" for key, each in value.items())
        return f"{{{_some(members, len(value), depth)}}}"
    if isinstance(value, list | tuple):
        return f"[{_some((_spelled(each, depth + 1) for each in value), len(value), depth)}]"
    for kind, spell in _SPELLED.items():
        if isinstance(value, kind):
            return spell(value)
    return _short(repr(value))


def _some(members: Iterable[str], count: int, depth: int) -> str:
    if depth >= _MOST_DEEP:
        return "…" if count else ""
    return ", ".join([*islice(members, _MOST_SHOWN), *(["…"] if count > _MOST_SHOWN else [])])


def _key(key: object) -> str:
    return key if isinstance(key, str) and _PLAIN_NAME.fullmatch(key) else _spelled(key, _MOST_DEEP)


def _text(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return repr(text)
    half = _LONGEST_TEXT // 2
    return _short(repr(text[:half] + text[-half:]))


def _short(text: str) -> str:
    half = _LONGEST_TEXT // 2 - 1
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]}…{text[-half:]}"


def _whole(number: int) -> str:
    # Python refuses to write out integers of more than 4,300 digits.
    return str(int(number)) if abs(number) < _LARGEST_SHOWN else "an integer of more than 60 digits"


def _double(number: float) -> str:
    return repr(number) if number - number == 0 else "NaN" if number != number else f"{'-' * (number < 0)}Infinity"


def _pattern(pattern: Any) -> str:
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("utf-8", "replace")
    return f"/{_text(text)[1:-1]}/"


# What Python would spell in a way of its own; the names of the other types are those of mongosh.
_SPELLED: Final[Mapping[Any, Callable[[Any], str]]] = {
    Code: lambda value: f"Code({_text(str(value))})",
    str: _text,
    int: _whole,
    float: _double,
    datetime: timestamp,
    DatetimeMS: lambda value: f"the date {int(value)} ms after 1970",
    Binary: lambda value: f"{len(value)} bytes of subtype {value.subtype}",
    bytes: lambda value: f"{len(value)} bytes",
    Regex: _pattern,
    re.Pattern: _pattern,
}
