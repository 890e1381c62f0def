"""How two BSON values compare, as a MongoDB server compares them.

Values compare only within their bracket: numbers of all widths with each other, strings with strings, dates with
dates; a boolean is not a number. Nothing here raises on any value that a document can hold.
"""

import operator
import re
import sys
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from itertools import repeat
from typing import Any, Final

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from rules.budget import Budget
from rules.path import MISSING

Test = Callable[[Any, Budget], bool]  # of a value; the test counts its own steps, but not the call itself

NAN: Final = "NaN"  # stands for every NaN: they are equal to each other and in no order

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NATIVE_NUMBERS: Final = frozenset({int, float, Int64})
_COMPARED_BY_PYTHON: Final = frozenset({bool, int, Int64, str, ObjectId, type(None)})
_TEXT_SHIFT: Final = 8  # 256 bytes are compared or hashed in a step


class Bracket(Enum):
    """The values that a value can be compared with."""

    NULL = auto()  # also a missing value
    NUMBER = auto()
    STRING = auto()
    DOCUMENT = auto()
    ARRAY = auto()
    BINARY = auto()
    OBJECT_ID = auto()
    BOOLEAN = auto()
    DATE = auto()
    TIMESTAMP = auto()
    REGEX = auto()
    CODE = auto()
    SCOPED_CODE = auto()
    MIN_KEY = auto()
    MAX_KEY = auto()
    FOREIGN = auto()  # no BSON type at all


_BRACKETS: Final[Mapping[type, Bracket]] = {
    type(None): Bracket.NULL,
    type(MISSING): Bracket.NULL,
    bool: Bracket.BOOLEAN,
    int: Bracket.NUMBER,
    float: Bracket.NUMBER,
    Int64: Bracket.NUMBER,
    Decimal128: Bracket.NUMBER,
    str: Bracket.STRING,
    dict: Bracket.DOCUMENT,
    DBRef: Bracket.DOCUMENT,
    list: Bracket.ARRAY,
    tuple: Bracket.ARRAY,
    bytes: Bracket.BINARY,
    Binary: Bracket.BINARY,
    uuid.UUID: Bracket.BINARY,
    ObjectId: Bracket.OBJECT_ID,
    datetime: Bracket.DATE,
    DatetimeMS: Bracket.DATE,
    Timestamp: Bracket.TIMESTAMP,
    Regex: Bracket.REGEX,
    re.Pattern: Bracket.REGEX,
    MinKey: Bracket.MIN_KEY,
    MaxKey: Bracket.MAX_KEY,
}
ORDERED: Final = frozenset({Bracket.NUMBER, Bracket.STRING, Bracket.DATE, Bracket.OBJECT_ID, Bracket.TIMESTAMP})


def bracket_of(value: Any) -> Bracket:
    """Return the bracket of ``value``."""
    bracket = _BRACKETS.get(type(value))
    if bracket is not None:
        return bracket
    if isinstance(value, Code):  # a str to Python, not to MongoDB
        return Bracket.CODE if value.scope is None else Bracket.SCOPED_CODE
    if isinstance(value, Mapping):
        return Bracket.DOCUMENT
    for known, bracket in _BRACKETS.items():
        if isinstance(value, known):
            return bracket
    return Bracket.FOREIGN


def milliseconds(value: datetime | DatetimeMS) -> int:
    """Return a date as milliseconds since 1970, as BSON stores it; a date without a zone is in UTC."""
    if isinstance(value, DatetimeMS):
        return int(value)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return (value - _EPOCH) // _MILLISECOND


def date_at(milliseconds: int) -> datetime:
    """Return the date so many milliseconds after 1970, in UTC; raise OverflowError for a year that Python lacks."""
    return _EPOCH + milliseconds * _MILLISECOND


def comparable(value: Any, bracket: Bracket) -> Any:
    """Return a hashable key for a scalar: two keys of one bracket compare as the values do; NAN for any NaN."""
    match bracket:
        case Bracket.NUMBER:
            if isinstance(value, Decimal128):
                value = value.to_decimal()
                return NAN if value.is_nan() else value
            return NAN if value != value else value
        case Bracket.DATE:
            return milliseconds(value)
        case Bracket.BINARY:
            if isinstance(value, uuid.UUID):
                return (4, value.bytes)
            return (value.subtype if isinstance(value, Binary) else 0, bytes(value))
        case Bracket.TIMESTAMP:
            return (value.time, value.inc)
        case Bracket.REGEX:
            pattern = Regex.from_native(value) if isinstance(value, re.Pattern) else value
            return (pattern.pattern, pattern.flags)
        case Bracket.CODE:
            return str(value)
        case Bracket.NULL | Bracket.MIN_KEY | Bracket.MAX_KEY:
            return None
        case _:
            return value


def is_equal(left: Any, right: Any, budget: Budget | None = None) -> bool:
    """Return whether two values are equal: the one notion for conditions, changes, transitions and enrollment.

    Numbers are compared across their types, every NaN equals every other, dates count to the millisecond, a missing
    value equals null, and embedded documents are compared in the order of their fields, as MongoDB does it. Raise
    TooCostly if that takes more than ``budget`` has left.
    """
    budget = budget or Budget()
    kind = type(left)
    if kind is type(right) and kind in _COMPARED_BY_PYTHON:
        budget.spend(1 + (len(left) >> _TEXT_SHIFT if kind is str else 0))
        return bool(left == right)
    bracket = bracket_of(right)
    if bracket_of(left) is not bracket:
        budget.spend(5)
        return False
    if bracket not in _COMPARED_BY_PARTS:
        return bool(_key(left, bracket, budget) == _key(right, bracket, budget))
    if bracket is Bracket.ARRAY:
        budget.spend(5 + len(left))
        return len(left) == len(right) and all(map(is_equal, left, right, repeat(budget)))
    if bracket is Bracket.DOCUMENT:
        return _are_equal_documents(_document(left), _document(right), budget)
    if bracket is Bracket.SCOPED_CODE:
        return str(left) == str(right) and _are_equal_documents(left.scope, right.scope, budget)
    return False  # no BSON type at all


def equal_to(expected: Any) -> Test:
    """Return the test whether a value equals ``expected``; a missing value equals null."""
    bracket = bracket_of(expected)
    if bracket is Bracket.STRING:
        return lambda value, _: isinstance(value, str) and value == expected
    if bracket is Bracket.BOOLEAN:
        return lambda value, _: value is expected
    if bracket is Bracket.NULL:
        return lambda value, _: value is None or value is MISSING
    if type(expected) in _NATIVE_NUMBERS and expected == expected:

        def equals_number(value: Any, budget: Budget) -> bool:
            return value == expected if type(value) in _NATIVE_NUMBERS else is_equal(value, expected, budget)

        return equals_number
    return lambda value, budget: is_equal(value, expected, budget)


def equal_to_any(expected: list[Any]) -> Test:
    """Return the test whether a value equals one of ``expected``, at the cost of one look-up for scalars."""
    if all(type(item) is str for item in expected):
        texts = frozenset(expected)
        longest = max(map(len, expected), default=0)  # a longer text is not even hashed
        return lambda value, _: type(value) is str and len(value) <= longest and value in texts
    brackets = [bracket_of(item) for item in expected]
    composites = [item for item, bracket in zip(expected, brackets, strict=True) if bracket in _COMPARED_BY_PARTS]
    unlimited = Budget(sys.maxsize)
    keys = frozenset(
        (bracket, _key(item, bracket, unlimited))
        for item, bracket in zip(expected, brackets, strict=True)
        if bracket not in _COMPARED_BY_PARTS
    )

    def test(value: Any, budget: Budget) -> bool:
        bracket = bracket_of(value)
        if bracket in _COMPARED_BY_PARTS:
            return any(is_equal(value, item, budget) for item in composites)
        return (bracket, _key(value, bracket, budget)) in keys

    return test


def ordered_to(expected: Any, order: Callable[[Any, Any], bool]) -> Test:
    """Return the test whether a value stands in ``order`` (``operator.gt``, …) to ``expected``, which has an order."""
    bracket = bracket_of(expected)
    key = comparable(expected, bracket)
    is_native = type(expected) in _NATIVE_NUMBERS
    steps = 0 if is_native else 20  # a Decimal is compared with a float digit by digit

    def test(value: Any, budget: Budget) -> bool:
        if is_native and type(value) in _NATIVE_NUMBERS:
            return order(value, expected)
        if bracket_of(value) is not bracket:
            return False
        budget.spend(steps)
        found = _key(value, bracket, budget)
        return not (found is NAN and bracket is Bracket.NUMBER) and order(found, key)

    return test


ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$lt": operator.lt,
    "$gte": operator.ge,
    "$lte": operator.le,
}

_COMPARED_BY_PARTS: Final = frozenset({Bracket.DOCUMENT, Bracket.ARRAY, Bracket.SCOPED_CODE, Bracket.FOREIGN})


def _document(value: Any) -> Mapping[str, Any]:
    return value.as_doc() if isinstance(value, DBRef) else value


def _key(value: Any, bracket: Bracket, budget: Budget) -> Any:
    """Return ``comparable`` of a value, and count its steps."""
    if type(value) is Decimal128:
        budget.spend(40)
    else:
        budget.spend(10 + (len(value) >> _TEXT_SHIFT if isinstance(value, (str, bytes)) else 0))
    return comparable(value, bracket)


def _are_equal_documents(left: Mapping[str, Any], right: Mapping[str, Any], budget: Budget) -> bool:
    budget.spend(15 + 6 * len(left))
    if len(left) != len(right):
        return False
    return all(
        name == other and is_equal(value, right[other], budget)
        for (name, value), other in zip(left.items(), right, strict=True)
    )
