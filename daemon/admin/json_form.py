"""Convert BSON to JSON and back, for HTTP and the terminal.

The readable form writes ids as their text and dates as ISO 8601 in UTC; every other type that JSON lacks becomes
Extended JSON (``daemon.admin.extended_json``). The exact form, which can be sent back, writes ids and dates as Extended
JSON too. When JSON is read, only those wrappers may have keys that start with ``$``, so that no value can act as a
query operator.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

from bson import Int64, ObjectId

from config.found import found
from config.plain import timestamp
from daemon.admin.extended_json import SMALL, WrongWrapper, date_wrapper, instant_of, is_wrapper, unwrapped, wrapper_of
from daemon.admin.problem import Malformed
from rules.validation import joined

MOST_DEEP: Final = 60  # levels; MongoDB stores 100
MOST_PARTS: Final = 50_000  # commas and brackets of a body: reading it holds the event loop for less than 50 ms
_LARGEST: Final = 2**63 - 1
_EXACT: Final = 2**53  # up to here every integer is a float
_FIRST_YEAR, _LAST_YEAR = 1000, 9000
_NESTED_IN_WRAPPERS: Final = ("$scope", "$id")


def to_json(value: Any, *, is_exact: bool = False, pace: Callable[[], None] | None = None) -> Any:
    """Return a stored value as JSON data; ``is_exact`` writes everything so that ``from_json`` gives it back.

    An object with keys that start with ``$`` is shown within ``$literal``, so that it is not taken for a wrapper.
    ``pace`` is called before each object and list.
    """
    match value:
        case None | bool():
            return value
        case int():
            return _integer(value, is_exact=is_exact)
        case float():
            return _double(value, is_exact=is_exact)
        case datetime():
            return date_wrapper(value) if is_exact else timestamp(value)
        case ObjectId() if not is_exact:
            return str(value)
        case str() if type(value) is str:
            return value
        case Mapping() | list() | tuple():
            return _container(value, is_exact=is_exact, pace=pace)
    wrapper = wrapper_of(value)
    if wrapper is None:
        return str(value)
    nested = {key: to_json(wrapper[key], is_exact=is_exact) for key in _NESTED_IN_WRAPPERS if key in wrapper}
    return {**wrapper, **nested}


def _container(
    value: Mapping[Any, Any] | Sequence[Any], *, is_exact: bool, pace: Callable[[], None] | None
) -> dict[str, Any] | list[Any]:
    if pace is not None:
        pace()
    if not isinstance(value, Mapping):
        return [to_json(item, is_exact=is_exact, pace=pace) for item in value]
    shown = {str(key): to_json(item, is_exact=is_exact, pace=pace) for key, item in value.items()}
    return {"$literal": shown} if any(key.startswith("$") for key in shown) else shown


def _integer(value: int, *, is_exact: bool) -> Any:
    # As a plain number a small integer of 64 bits would come back as one of 32 bits.
    is_long = is_exact and isinstance(value, Int64) and int(value) in SMALL  # of an Int64 a range is walked through
    return {"$numberLong": str(int(value))} if is_long or not -_EXACT <= value <= _EXACT else int(value)


def _double(value: float, *, is_exact: bool) -> Any:
    if value - value != 0:
        return {"$numberDouble": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}
    # To JSON 3.0 and 3 are the same number, to MongoDB they are not.
    return {"$numberDouble": repr(value)} if is_exact and value.is_integer() else value


class _Wrong(ValueError):
    """Something below a value cannot be stored. ``names`` lead to it; they are collected on the way up."""

    def __init__(self, problem: str, *names: int | str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.names = list(names)


class _TooDeep(_Wrong):
    pass


def from_json(value: Any) -> Any:
    """Return JSON data as MongoDB stores it; raise Malformed where it cannot be stored."""
    try:
        return _from(value, 0)
    except _TooDeep as wrong:
        raise Malformed(joined("", *wrong.names[-1:]), wrong.problem) from wrong
    except _Wrong as wrong:
        raise Malformed(joined("", *reversed(wrong.names)), wrong.problem) from wrong


def object_from_json(value: Any) -> dict[str, Any]:
    """Return what ``from_json`` does of an object; raise Malformed where it stands for a value of another type."""
    stored = from_json(value)
    if not isinstance(stored, dict):
        raise Malformed("body", f"expected an object, found {found(stored)}")
    return stored


def _from(value: Any, depth: int) -> Any:
    if depth > MOST_DEEP:
        raise _TooDeep(f"expected at most {MOST_DEEP} levels, found more")
    if isinstance(value, str):
        return _checked(value)
    if isinstance(value, Mapping):
        return _wrapped(value, depth) if is_wrapper(value) else _object(value, depth)
    if isinstance(value, list):
        return _list(value, depth)
    if isinstance(value, float):
        if value - value != 0:
            raise _Wrong(_NOT_FINITE)
    elif isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST:
        return _larger(value)
    return value


def _object(value: Mapping[str, Any], depth: int) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for key, item in value.items():
        try:
            if key.startswith("$") or "\0" in key:
                raise _Wrong("expected a name that does not start with $ and holds no NUL")
            stored[_checked(key)] = _from(item, depth + 1)
        except _Wrong as wrong:
            wrong.names.append(key)
            raise
    return stored


def _list(value: Sequence[Any], depth: int) -> list[Any]:
    stored: list[Any] = []
    for index, item in enumerate(value):
        try:
            stored.append(_from(item, depth + 1))
        except _Wrong as wrong:
            wrong.names.append(index)
            raise
    return stored


def _wrapped(value: Mapping[str, Any], depth: int) -> Any:
    try:
        nested = {key: _from(value[key], depth + 1) for key in _NESTED_IN_WRAPPERS if key in value}
        stored = unwrapped({**value, **nested})
    except WrongWrapper as error:
        raise _Wrong(str(error)) from error
    if type(stored) is datetime and isinstance(value.get("$date"), str):
        _check_year(stored)
    return stored


def _checked(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _Wrong("expected text, found half of a surrogate pair") from error
    return text


def _larger(value: int) -> float:
    """Return an integer of more than 64 bits as MongoDB keeps it."""
    try:
        return float(value)
    except OverflowError as error:
        raise _Wrong("expected a number that fits 64 bits, found a larger one") from error


def parse_instant(given: Any, path: str) -> datetime:
    """Return the instant that an ISO 8601 text names, UTC where it says no zone; raise Malformed if it names none."""
    try:
        at = instant_of(given)
        _check_year(at)
    except (WrongWrapper, _Wrong) as error:
        raise Malformed(path, str(error)) from error
    return at


def _check_year(at: datetime) -> None:
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise _Wrong(f"expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")


_NOT_FINITE: Final = 'expected a number that JSON knows, found none; write {"$numberDouble": "NaN"} or "Infinity"'


def parse_json(data: bytes | str) -> Any:
    """Return the data that a JSON text spells.

    Raise Malformed where it is not UTF-8, too deep, of too many parts, names a key twice, or holds NaN or a number
    beyond every double; raise json.JSONDecodeError where it is no JSON.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("body", "expected JSON in UTF-8, not nested too deeply") from error
    if text.count(",") + text.count("{") + text.count("[") > MOST_PARTS:
        raise Malformed("body", f"expected at most {MOST_PARTS} commas and brackets, found more")
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    except RecursionError as error:
        raise Malformed("body", "expected JSON in UTF-8, not nested too deeply") from error


def _constant(name: str) -> float:
    return float(name)  # the caller refuses it, naming its key or its path


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        _refuse_twice([key for key, _ in pairs])
    for key, value in pairs:
        if type(value) is float and value - value != 0:
            raise Malformed(joined("", key), _NOT_FINITE)
    return read


def _refuse_twice(keys: list[str]) -> NoReturn:
    twice = next(key for key in keys if keys.count(key) > 1)
    raise Malformed(joined("", twice), "expected each key once in its object, found it twice")
