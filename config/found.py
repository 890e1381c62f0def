"""How something that was found is shown in an error message: on one line, short, and never raising.

What stands in a document may be megabytes long, nested, or not printable. An error message travels into logs, into
``observed.error`` and over HTTP, so it shows the beginning of what was found and nothing that cannot be encoded.
"""

import reprlib
from collections.abc import Mapping
from typing import Final

LONGEST_SHOWN: Final = 80

_LARGEST_SHOWN: Final = 10**60
_WORDS: Final = {None: "null", True: "true", False: "false"}

_short = reprlib.Repr()
_short.maxlevel = 2
_short.maxdict = _short.maxlist = _short.maxtuple = 3
_short.maxstring = _short.maxlong = _short.maxother = LONGEST_SHOWN - 20


def found(value: object) -> str:
    """Return ``value`` as a message shows it, at most 80 characters: ``'5x'``, ``null``, ``an empty object``."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, Mapping):
        return cut(f"the object {_short.repr(dict(value))}") if value else "an empty object"
    if isinstance(value, list | tuple):
        return cut(f"the list {_short.repr(list(value))}") if value else "an empty list"
    if isinstance(value, int):
        # Python refuses to write out integers of more than 4,300 digits.
        return str(int(value)) if abs(value) < _LARGEST_SHOWN else "an integer of more than 60 digits"
    if isinstance(value, str | float):
        return cut(_short.repr(value))
    return cut(f"{type(value).__name__} {_short.repr(value)}")


def name_of(key: object) -> str:
    """Return a key as a path shows it: cut short, and escaped where it cannot be printed."""
    text = key[:LONGEST_SHOWN] if isinstance(key, str) else found(key)
    return cut(text if text.isprintable() else ascii(text)[1:-1])


def cut(text: str) -> str:
    """Return ``text``, shortened to 80 characters where it is longer."""
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
