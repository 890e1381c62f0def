"""Ids as people type them: a text that may stand for an ObjectId, a text or a whole number."""

from typing import Any, Final

from bson import ObjectId

from daemon.admin.json_form import to_json
from daemon.admin.problem import Malformed

_LONGEST: Final = 1_000
_MOST_DIGITS: Final = 18


def readings(text: str) -> list[Any]:
    """Return what an id given as text may mean, the likeliest first; raise Malformed if it can be none."""
    if not 0 < len(text) <= _LONGEST or any("\ud800" <= character <= "\udfff" for character in text):
        raise Malformed("id", f"expected the id of a document, 1 to {_LONGEST} characters")
    if text.startswith(("{", "[")):
        raise Malformed("id", "expected the id of a document, found an object or a list")
    found: list[Any] = [ObjectId(text), text] if ObjectId.is_valid(text) else [text]
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS:
        found.append(int(text))
    return found


def id_text(value: Any) -> str:
    """Return the text that stands for an id, whatever its type."""
    return str(to_json(value))


def object_id(text: str, name: str = "id") -> ObjectId:
    """Return the ObjectId that a text spells; raise Malformed if it spells none."""
    if not ObjectId.is_valid(text):
        raise Malformed(name, "expected 24 hexadecimal digits")
    return ObjectId(text)
