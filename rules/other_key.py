"""Tell the foreign keys of a workflow document from misspelled ones: a CRM may keep ``__v`` or ``createdAt`` in it.

A key near a known one is an error. Any other unknown key at the top level is ignored, and listed.
"""

from collections.abc import Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any, Final

DEFINING_KEYS: Final = ("name", "description", "trigger", "conditions", "enrollment", "actions")
OWN_KEYS: Final = frozenset({"execution_count", "success_count", "failure_count", "last_executed_at", "observed"})
MOST_KEYS: Final = 200  # of a document: each that is not known is compared with those that are
_KNOWN: Final = (*DEFINING_KEYS, "status")
_READ: Final = frozenset({*_KNOWN, *OWN_KEYS, "_id"})
_LONGEST: Final = 40  # characters; a longer key is no misspelled known one
_SHORTEST_ABBREVIATION: Final = 4
_NEAR: Final = 0.83  # of SequenceMatcher: one wrong letter of six; "options" and "sections" are none of "actions"


def other_keys(document: Mapping[Any, Any]) -> list[str]:
    """Return the top-level keys that are ignored, in their order; of a document with more than 200 keys, none."""
    if len(document) > MOST_KEYS:
        return []
    return [key for key in document if key not in _READ and _is_other(key)]


def meant(key: str) -> str | None:
    """Return the known key that ``key`` is near to: misspelled, in another case or cut short; else None."""
    return _meant(key) if len(key) <= _LONGEST else None


def _is_other(key: object) -> bool:
    return isinstance(key, str) and not key.startswith("$") and "\0" not in key and meant(key) is None


@lru_cache(maxsize=1_024)
def _meant(key: str) -> str | None:
    first = key.partition(".")[0]  # "actions.0" at the top level means "actions"
    letters = "".join(filter(str.isalnum, first.casefold()))
    return next((known for known in _KNOWN if _is_near(letters, known)), None)


def _is_near(letters: str, known: str) -> bool:
    is_abbreviation = len(letters) >= _SHORTEST_ABBREVIATION and known.startswith(letters)
    is_shuffled = sorted(letters) == sorted(known)
    return is_abbreviation or is_shuffled or SequenceMatcher(None, letters, known, autojunk=False).ratio() >= _NEAR
