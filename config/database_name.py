"""Check that MongoDB accepts a database name and that the daemon can watch the database."""

from typing import Final

from config.found import found
from config.redaction import redacted

_FORBIDDEN: Final = ' ."$*<>:|?/\\\0'
_UNWATCHED: Final = ("admin", "config", "local")
_LONGEST: Final = 63  # bytes

EXPECTED_DATABASE_NAME: Final = (
    f"expected a database name of 1 to {_LONGEST} bytes, without blanks and {_FORBIDDEN[1:-1]}"
)


def is_database_name(name: str) -> bool:
    """Return whether MongoDB accepts ``name`` on every platform, Windows too."""
    return bool(name) and not set(_FORBIDDEN) & set(name) and len(name.encode("utf-8", "replace")) <= _LONGEST


def checked_database_name(name: str) -> str:
    """Return ``name`` if it can be watched; raise ValueError otherwise."""
    if not is_database_name(name):
        raise ValueError(f"{EXPECTED_DATABASE_NAME}; found {redacted(found(name))}")
    if name in _UNWATCHED:
        raise ValueError(f"expected the CRM's database, found {found(name)}, which is MongoDB's own")
    return name
