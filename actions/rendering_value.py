"""Turn BSON values into values of templates: decimals into numbers, ids into text, dates into dates."""

import base64
import json
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any, Final

from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import OLD_UUID_SUBTYPE, Binary
from bson.datetime_ms import DatetimeMS
from liquid.undefined import is_undefined

from actions.rendering_date import date_of_bson
from actions.rendering_request import MARK

_UUID_BYTES: Final = 16

# The arithmetic of Decimal128; an impossible result is NaN instead of an error.
ARITHMETIC: Final = Context(prec=34, Emin=-6143, Emax=6144, traps=[])


class LeftOut:
    """Stands for a value that was left out; ``limit`` names the limit it exceeds."""

    __slots__ = ("limit",)

    def __init__(self, limit: str) -> None:
        self.limit = limit


def liquid_value(value: Any) -> Any:
    """Return a BSON value, and everything in it, as a template sees it."""
    kind = type(value)
    if kind is dict:
        return {key: liquid_value(each) for key, each in value.items()}
    if kind is list:
        return [liquid_value(each) for each in value]
    convert = _CONVERTED.get(kind)
    return value if convert is None else convert(value)


def text_of(value: Any) -> str:
    """Return a value as the text that a template prints: an empty text for null and missing."""
    if isinstance(value, str):
        return value
    if value is None or is_undefined(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "".join(map(text_of, value))
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    return _object_text(value) if isinstance(value, dict) else str(value)


def _object_text(value: Any) -> str:
    """Return an object, or a value in one, in the manner of JSON: only texts and dates in quotation marks."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {_object_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_object_text, value)) + "]"
    if value is None:
        return "null"
    return text_of(value) if isinstance(value, bool) or is_number(value) else _quoted(text_of(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def is_number(value: object) -> bool:
    """Return whether a template may calculate with ``value``."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def whole(value: Any) -> Any:
    """Return a double or decimal without a fraction as the whole number it is, every other value unchanged."""
    is_whole = isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value)
    return int(value) if is_whole else value


def decimal_of(value: int | float | Decimal) -> Decimal:
    """Return a number as a decimal with the digits it is written with: 0.1 is 0.1."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _decimal(value: Decimal128) -> Decimal:
    decimal = value.to_decimal()
    return Decimal("NaN") if decimal.is_snan() else decimal  # comparing a signalling NaN raises


def _binary(value: Binary) -> Any:
    if value.subtype == MARK:
        return LeftOut(value.decode())
    if value.subtype == OLD_UUID_SUBTYPE and len(value) == _UUID_BYTES:
        return str(uuid.UUID(bytes=bytes(value)))
    return _base64(value)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _pattern(value: Regex[Any]) -> str:
    return value.pattern if isinstance(value.pattern, str) else value.pattern.decode("utf-8", "replace")


_CONVERTED: Final[Mapping[type, Callable[[Any], Any]]] = {
    Int64: int,
    Decimal128: _decimal,
    ObjectId: str,
    uuid.UUID: str,
    Binary: _binary,
    bytes: _base64,
    DatetimeMS: date_of_bson,
    Timestamp: date_of_bson,
    Regex: _pattern,
    Code: str.__str__,
    DBRef: lambda reference: liquid_value(reference.id),
    MinKey: lambda _: "MinKey",
    MaxKey: lambda _: "MaxKey",
}
