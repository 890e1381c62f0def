"""What MongoDB takes as the name of a database that the daemon can watch."""

from typing import Final

_FORBIDDEN: Final = ' ."$*<>:|?/\\\0'
_UNWATCHED: Final = ("admin", "config", "local")
_LONGEST: Final = 63  # bytes


def checked_database_name(name: str) -> str:
    """Return ``name`` if it can be watched; raise ValueError otherwise. What Windows forbids, this does."""
    if not name or set(_FORBIDDEN) & set(name) or len(name.encode()) > _LONGEST:
        allowed = f"1 to {_LONGEST} bytes, without blanks and {_FORBIDDEN[1:-1]}"
        raise ValueError(f"expected a database name of {allowed}; found {name!r:.80}")
    if name in _UNWATCHED:
        raise ValueError(f"expected the CRM's database, found {name!r}, which is MongoDB's own")
    return name
