"""Blanks in texts that people type and paste: Unicode has more kinds than the space bar makes."""

import re
from collections.abc import Mapping
from typing import Any, Final

LINE_BREAK: Final = re.compile("\r\n|[\n\v\f\r\x85\u2028\u2029]")

_BLANK: Final = re.compile("[\t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")  # Unicode's White_Space without line breaks

# Pasted addresses bring these along: blanks, line breaks, marks of direction and other invisible characters.
_EDGE: Final = "".join(filter(str.isspace, map(chr, range(0x3001)))) + (
    "\xad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u2800\u3164\ufeff\uffa0"
)


def with_plain_blanks(text: str) -> str:
    """Return ``text`` with a plain blank in place of every other kind of blank; line breaks stay."""
    return _BLANK.sub(" ", text)


def on_one_line(value: Any) -> Any:
    """Return ``value`` with a blank in place of every line break, in the texts inside of it too."""
    if isinstance(value, str):
        return LINE_BREAK.sub(" ", value)
    if isinstance(value, Mapping):
        return {key: on_one_line(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [on_one_line(each) for each in value]
    return value


def stripped(text: str) -> str:
    """Return ``text`` without the blanks and the invisible characters at its ends."""
    return text.strip(_EDGE)
