"""Extended JSON: the wrappers, such as ``{"$numberDecimal": "1.50"}``, of the BSON types that JSON lacks.

Each type is one row in a table for writing and one in a table for reading. Reading is strict: a wrapper that is not
exactly as MongoDB documents it is refused.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import DecimalException
from typing import Any, Final
from uuid import UUID

from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from config.plain import timestamp
from rules.value import date_at, milliseconds

_ISO_YEARS: Final = range(1970, 9_001)  # a date of another year is written as a number
SMALL: Final = range(-(2**31), 2**31)  # the integers that MongoDB stores in 32 bits
_LARGE: Final = range(-(2**63), 2**63)
_UNSIGNED: Final = range(2**32)
_UUID_SUBTYPE: Final = 4
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(r"-?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,5})?|-?Infinity|NaN")
_UUID: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FLAGS: Final = {"i": re.I, "l": re.L, "m": re.M, "s": re.S, "u": re.U, "x": re.X}

Wrapper = dict[str, Any]


class WrongWrapper(ValueError):
    """A client's wrapper is malformed; the message names the expected value."""


def wrapper_of(value: Any) -> Wrapper | None:
    """Return the wrapper of a value whose type JSON lacks, None for any other; the scope of a Code is left raw."""
    write = _WRITTEN.get(type(value))
    return None if write is None else write(value)


def is_wrapper(value: Mapping[str, Any]) -> bool:
    """Return whether an object is meant as a wrapper: it has a key that only wrappers have."""
    return any(key in _READ for key in value)


def unwrapped(value: Mapping[str, Any]) -> Any:
    """Return the value of a wrapper; raise WrongWrapper where it is malformed."""
    key = next(key for key in value if key in _READ)
    if len(value) > 1 and not (key in _COMPANIONS and set(value) <= _COMPANIONS[key]):
        raise WrongWrapper(f"expected {key} alone in its object, found other keys beside it")
    return _READ[key](value)


def date_wrapper(at: datetime) -> Wrapper:
    """Return ``{"$date": …}``: ISO 8601 for the years that MongoDB writes so, else milliseconds."""
    if at.year in _ISO_YEARS:
        return {"$date": timestamp(at)}
    return {"$date": {"$numberLong": str(milliseconds(at))}}


def _regex(value: Regex[Any]) -> Wrapper:
    options = "".join(letter for letter, flag in _FLAGS.items() if value.flags & flag)
    pattern = value.pattern if isinstance(value.pattern, str) else value.pattern.decode("utf-8", "replace")
    return {"$regularExpression": {"pattern": pattern, "options": options}}


def _binary(value: bytes) -> Wrapper:
    subtype = value.subtype if isinstance(value, Binary) else 0
    if subtype == _UUID_SUBTYPE and len(value) == 16:
        return {"$uuid": str(UUID(bytes=bytes(value)))}
    return {"$binary": {"base64": base64.b64encode(value).decode(), "subType": f"{subtype:02x}"}}


def _code(value: Code) -> Wrapper:
    return {"$code": str(value)} if value.scope is None else {"$code": str(value), "$scope": value.scope}


_WRITTEN: Final[Mapping[type, Callable[[Any], Wrapper]]] = {
    ObjectId: lambda value: {"$oid": str(value)},
    datetime: date_wrapper,
    DatetimeMS: lambda value: {"$date": {"$numberLong": str(int(value))}},
    Decimal128: lambda value: {"$numberDecimal": str(value)},
    Binary: _binary,
    bytes: _binary,
    Timestamp: lambda value: {"$timestamp": {"t": value.time, "i": value.inc}},
    Regex: _regex,
    Code: _code,
    DBRef: lambda value: dict(value.as_doc()),
    MinKey: lambda value: {"$minKey": 1},
    MaxKey: lambda value: {"$maxKey": 1},
}


def _text(value: Mapping[str, Any], key: str, pattern: re.Pattern[str], expected: str) -> str:
    given = value[key]
    if not isinstance(given, str) or not pattern.fullmatch(given):
        raise WrongWrapper(f"expected {expected} as a text in {key}")
    return given


def _parts(value: Mapping[str, Any], key: str, *names: str) -> list[Any]:
    given = value[key]
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise WrongWrapper(f"expected an object with {' and '.join(names)} in {key}")
    return [given[name] for name in names]


def _read_object_id(value: Mapping[str, Any]) -> ObjectId:
    given = value["$oid"]
    if not isinstance(given, str) or not ObjectId.is_valid(given):
        raise WrongWrapper("expected 24 hexadecimal digits in $oid")
    return ObjectId(given)


def _read_whole(key: str, allowed: range, kind: type[int]) -> Callable[[Mapping[str, Any]], int]:
    def read(value: Mapping[str, Any]) -> int:
        number = int(_text(value, key, _INTEGER, "a whole number"))
        if number not in allowed:
            raise WrongWrapper(f"expected a whole number from {allowed[0]} to {allowed[-1]} in {key}")
        return kind(number)

    return read


def _read_double(value: Mapping[str, Any]) -> float:
    return float(_text(value, "$numberDouble", _NUMBER, 'a number, "Infinity", "-Infinity" or "NaN",'))


def _read_decimal(value: Mapping[str, Any]) -> Decimal128:
    text = _text(value, "$numberDecimal", _NUMBER, 'a number, "Infinity", "-Infinity" or "NaN",')
    try:
        return Decimal128(text)
    except DecimalException as error:
        raise WrongWrapper("expected at most 34 digits and an exponent of four in $numberDecimal") from error


def _read_date(value: Mapping[str, Any]) -> datetime | DatetimeMS:
    given = value["$date"]
    if isinstance(given, Mapping) and set(given) == {"$numberLong"}:
        number = _read_whole("$numberLong", _LARGE, int)(given)
        try:
            return date_at(number)
        except OverflowError:  # a year that Python does not know
            return DatetimeMS(number)
    return instant_of(given)


def instant_of(given: Any) -> datetime:
    """Return the instant that an ISO 8601 text names, UTC where it says no zone; raise WrongWrapper."""
    try:
        at = datetime.fromisoformat(given)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise WrongWrapper("expected a date and time such as 2026-05-04T09:00:00Z") from error


def _read_uuid(value: Mapping[str, Any]) -> Binary:
    return Binary(UUID(_text(value, "$uuid", _UUID, "a UUID with its hyphens")).bytes, _UUID_SUBTYPE)


def _read_binary(value: Mapping[str, Any]) -> bytes:
    data, subtype = _parts(value, "$binary", "base64", "subType")
    if not isinstance(subtype, str) or not re.fullmatch("[0-9a-fA-F]{1,2}", subtype):
        raise WrongWrapper("expected one or two hexadecimal digits in subType of $binary")
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise WrongWrapper("expected base64 in $binary") from error
    return decoded if int(subtype, 16) == 0 else Binary(decoded, int(subtype, 16))


def _read_timestamp(value: Mapping[str, Any]) -> Timestamp:
    parts = _parts(value, "$timestamp", "t", "i")
    if any(type(part) is not int or part not in _UNSIGNED for part in parts):
        raise WrongWrapper("expected whole numbers from 0 to 4294967295 in $timestamp")
    return Timestamp(*parts)


def _read_regex(value: Mapping[str, Any]) -> Regex[str]:
    pattern, options = _parts(value, "$regularExpression", "pattern", "options")
    is_right = isinstance(pattern, str) and isinstance(options, str) and "\0" not in pattern
    if not is_right or not set(options) <= set(_FLAGS):
        raise WrongWrapper(f"expected texts in $regularExpression, in options letters of {''.join(_FLAGS)}")
    return Regex(pattern, options)


def _read_key(key: str, kind: type[Any]) -> Callable[[Mapping[str, Any]], Any]:
    def read(value: Mapping[str, Any]) -> Any:
        if type(value[key]) is not int or value[key] != 1:
            raise WrongWrapper(f"expected 1 in {key}")
        return kind()

    return read


def _read_code(value: Mapping[str, Any]) -> Code:
    if set(value) == {"$scope"} or not isinstance(value["$code"], str):
        raise WrongWrapper("expected a text in $code")
    if not isinstance(value.get("$scope", {}), Mapping):
        raise WrongWrapper("expected an object in $scope")
    return Code(value["$code"], value.get("$scope"))


def _read_reference(value: Mapping[str, Any]) -> DBRef:
    name, database = value.get("$ref"), value.get("$db")
    if not isinstance(name, str) or "$id" not in value or not isinstance(database, str | None):
        raise WrongWrapper("expected a text in $ref, an id in $id, and at most a text in $db")
    return DBRef(name, value["$id"], database)


_READ: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "$oid": _read_object_id,
    "$date": _read_date,
    "$numberInt": _read_whole("$numberInt", SMALL, int),
    "$numberLong": _read_whole("$numberLong", _LARGE, Int64),
    "$numberDouble": _read_double,
    "$numberDecimal": _read_decimal,
    "$uuid": _read_uuid,
    "$binary": _read_binary,
    "$timestamp": _read_timestamp,
    "$regularExpression": _read_regex,
    "$minKey": _read_key("$minKey", MinKey),
    "$maxKey": _read_key("$maxKey", MaxKey),
    "$code": _read_code,
    "$scope": _read_code,
    "$ref": _read_reference,
    "$id": _read_reference,
}
_WITH_SCOPE: Final = frozenset(("$code", "$scope"))
_WITH_PLACE: Final = frozenset(("$ref", "$id", "$db"))
_COMPANIONS: Final[Mapping[str, frozenset[str]]] = {
    "$code": _WITH_SCOPE,
    "$scope": _WITH_SCOPE,
    "$ref": _WITH_PLACE,
    "$id": _WITH_PLACE,
}
