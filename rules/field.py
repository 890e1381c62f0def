"""Parse the dotted path of a field of an entity."""

from typing import Final

from config.error import WorkflowError
from config.found import found
from rules.derived import derived_from
from rules.validation import is_text

LONGEST_PATH: Final = 500
MOST_NAMES: Final = 100  # MongoDB refuses a path of more than 200


def parse_stored_field(raw: object, path: str) -> str:
    """Return ``raw`` if it is the path of a field that a document can hold; derived fields are not stored."""
    field = parse_field(raw, path)
    derived = derived_from(field)
    if derived is not None:
        dates = " or ".join(repr(base) for base in derived.bases)
        problem = f"expected a field that is stored, found {found(field)}, which is derived from the date {dates}"
        raise WorkflowError(path, f"{problem} as time passes: it never changes by an update")
    return field


def parse_field(raw: object, path: str) -> str:
    """Return ``raw`` if it can be the dotted path of a field; raise WorkflowError at ``path`` if not.

    MongoDB takes names that start with ``$`` for operators and cannot store NUL in a name; an empty name is a
    slip such as ``address..city``.
    """
    if not is_text(raw) or not raw:
        raise WorkflowError(path, f"expected the dotted path of a field, found {found(raw)}")
    if len(raw) > LONGEST_PATH:
        raise WorkflowError(path, f"expected a field path of at most {LONGEST_PATH} characters, found {len(raw)}")
    if "\0" in raw:
        raise WorkflowError(path, f"expected a field path without NUL characters, found {found(raw)}")
    if raw.count(".") >= MOST_NAMES:
        raise WorkflowError(path, f"expected a field path of at most {MOST_NAMES} names, found {raw.count('.') + 1}")
    for name in raw.split("."):
        if not name:
            raise WorkflowError(path, f"expected a field path without empty names, found {found(raw)}")
        if name.startswith("$"):
            raise WorkflowError(path, f"expected a field path without names that start with '$', found {found(raw)}")
    return raw
