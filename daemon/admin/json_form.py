"""BSON as JSON and back: how documents go over HTTP and to the terminal, and how they come from there.

Outwards ids become text, dates ISO 8601 in UTC. Inwards ``{"$oid": …}`` and ``{"$date": …}`` say what JSON cannot;
any other key that starts with ``$`` is refused, so that nothing sent here can act as a query operator.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson import Binary, DatetimeMS, Decimal128, Int64, ObjectId, Regex, Timestamp

from config.plain import timestamp
from daemon.admin.problem import Malformed
from rules.validation import joined

MOST_DEEP: Final = 60  # levels; MongoDB stores 100
_LARGEST: Final = 2**63 - 1
_EXACT: Final = 2**53  # up to here every integer is a float
_FIRST_YEAR, _LAST_YEAR = 1000, 9000


def to_json(value: Any, *, is_exact: bool = False) -> Any:
    """Return a stored value as JSON data; ``is_exact`` writes ids and dates so that ``from_json`` gives them back."""
    match value:
        case ObjectId() if is_exact:
            return {"$oid": str(value)}
        case datetime() if is_exact:
            return {"$date": timestamp(value)}
        case None | bool() | str():
            return value
        case Int64() | int():
            return int(value)
        case float():
            return value if value - value == 0 else str(value)
        case datetime():
            return timestamp(value)
        case Mapping():
            return {str(key): to_json(item, is_exact=is_exact) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item, is_exact=is_exact) for item in value]
        case Binary() | bytes():
            return bytes(value).hex()
        case ObjectId() | Decimal128() | Timestamp() | Regex() | DatetimeMS():
            return str(value)
    return str(value)


def from_json(value: Any, path: str = "", depth: int = 0) -> Any:
    """Return JSON data as MongoDB stores it; raise Malformed where it cannot be stored."""
    if depth > MOST_DEEP:
        raise Malformed(path.split(".")[0].split("[")[0], f"expected at most {MOST_DEEP} levels, found more")
    if isinstance(value, Mapping):
        if len(value) == 1 and (found := _extended(value, path)) is not None:
            return found
        return {_key(key, path): from_json(item, joined(path, key), depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item, joined(path, index), depth + 1) for index, item in enumerate(value)]
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)  # to JSON 3.0 is an integer, to our parsers it is not
    elif isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST:
        return _double(value, path)
    return value


def _key(key: str, path: str) -> str:
    if key.startswith("$") or "\0" in key:
        raise Malformed(joined(path, key), "expected a name that does not start with $ and holds no NUL")
    _check_text(key, path)
    return key


def _extended(value: Mapping[str, Any], path: str) -> Any:
    """Return what ``{"$oid": …}`` or ``{"$date": …}`` stands for, None for anything else."""
    ((key, given),) = value.items()
    if key == "$oid":
        if not isinstance(given, str) or not ObjectId.is_valid(given):
            raise Malformed(path, "expected 24 hexadecimal digits in $oid")
        return ObjectId(given)
    if key == "$date":
        return parse_instant(given, path)
    return None


def parse_instant(given: Any, path: str) -> datetime:
    """Return the instant that an ISO 8601 text names, UTC where it says no zone; raise Malformed if it names none."""
    try:
        at = datetime.fromisoformat(given)
        at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise Malformed(path, "expected a date and time such as 2026-05-04T09:00:00Z") from error
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise Malformed(path, f"expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return at


def _double(value: int, path: str) -> float:
    """Return an integer of more than 64 bits as MongoDB keeps it."""
    try:
        return float(value)
    except OverflowError as error:
        raise Malformed(path, "expected a number that fits 64 bits, found a larger one") from error


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(path, "expected text, found half of a surrogate pair") from error
