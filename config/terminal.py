"""Escape every string from outside on its way to a terminal, a pipe or a log.

Characters that steer a terminal (escape sequences, line breaks, bidirectional overrides, anything that is not printed)
are written in Python's notation. Letters of every script, and the characters that join them, stay as they are.
"""

import json
from typing import Final

# Not printable to Python, but without them Persian and emoji fall apart, and CJK loses its blanks.
_HARMLESS: Final = frozenset("\u200c\u200d\u00a0\u3000")


def escaped(text: str) -> str:
    """Return ``text`` on one line, with nothing in it that acts on a terminal: ``\\x1b[31m``, ``\\n``, ``\\u202e``."""
    return text if text.isprintable() else "".join(each if _is_shown(each) else repr(each)[1:-1] for each in text)


def escaped_lines(text: str) -> str:
    """Return ``text`` with its line breaks, and everything else in it escaped."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def escaped_json(text: str) -> str:
    """Return JSON, indented or not, in which every character that is not shown is written as JSON escapes it."""
    if text.isprintable():
        return text
    return "".join(each if each == "\n" or _is_shown(each) else json.dumps(each)[1:-1] for each in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in _HARMLESS
