"""Parse the ``value`` of a condition, for each kind of operator; a wrong value is refused by its path.

A value is data, never a query: documents with names that start with ``$``, regular expressions and values that BSON
cannot hold are refused. MISSING stands for a condition without a ``value``.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import bson
from bson import DBRef, Regex
from bson.errors import BSONError

from config.error import WorkflowError
from config.found import found
from rules.path import MISSING
from rules.validation import found_at
from rules.value import NAN, ORDERED, Bracket, bracket_of, comparable

LONGEST_TEXT: Final = 4_000  # MongoDB refuses patterns of more than 32,764 bytes, and escaping makes texts longer
DEEPEST_VALUE: Final = 20


def parse_any(raw: object, path: str) -> Any:
    """Return any value that BSON can hold and that is not a query in disguise."""
    if raw is MISSING:
        raise WorkflowError(path, "expected a value to compare with, found nothing")
    _refuse_regex(raw, path)
    _refuse_operators(raw, path)
    try:
        bson.encode({"": raw})
    except (BSONError, OverflowError, ValueError, TypeError, RecursionError) as error:
        raise WorkflowError(path, f"expected a value that BSON can hold, found {found(raw)}") from error
    return raw


def parse_list(raw: object, path: str) -> list[Any]:
    """Return a list of values, each of which may be compared with."""
    if not isinstance(raw, list):
        raise WorkflowError(path, f"expected a list of values, found {found_at(raw)}")
    for index, item in enumerate(raw):
        _refuse_regex(item, f"{path}[{index}]")
    parsed: list[Any] = parse_any(raw, path)
    return parsed


def parse_ordered(raw: object, path: str) -> Any:
    """Return a value that others can be greater or less than: a number, string, date, ObjectId or timestamp."""
    bracket = bracket_of(raw)
    is_nan = bracket is Bracket.NUMBER and comparable(raw, bracket) is NAN
    if bracket not in ORDERED or is_nan:
        raise WorkflowError(path, f"expected a number, string, date, ObjectId or timestamp, found {found_at(raw)}")
    return parse_any(raw, path)


def parse_part(raw: object, path: str) -> Any:
    """Return what a string or an array may contain: a text of bounded length, or any other value."""
    return parse_text(raw, path) if bracket_of(raw) is Bracket.STRING else parse_any(raw, path)


def parse_text(raw: object, path: str) -> str:
    """Return a text of at most 4,000 characters."""
    if not isinstance(raw, str) or bracket_of(raw) is not Bracket.STRING:
        raise WorkflowError(path, f"expected a string, found {found_at(raw)}")
    if len(raw) > LONGEST_TEXT:
        raise WorkflowError(path, f"expected a string of at most {LONGEST_TEXT} characters, found {len(raw)}")
    parsed: str = parse_any(raw, path)
    return parsed


def parse_presence(raw: object, path: str) -> bool:
    """Return true or false; no value means true."""
    if raw is MISSING:
        return True
    if not isinstance(raw, bool):
        raise WorkflowError(path, f"expected true, false or no value, found {found(raw)}")
    return raw


def parse_nothing(raw: object, path: str) -> None:
    """Refuse any value."""
    if raw is not MISSING:
        raise WorkflowError(path, f"expected no value, because this operator takes none; found {found(raw)}")


def _refuse_regex(raw: object, path: str) -> None:
    if isinstance(raw, Regex | re.Pattern):
        raise WorkflowError(path, "expected a plain value, found a regular expression; the operator matches takes one")


def _refuse_operators(raw: object, path: str) -> None:
    """Walk a value level by level, so that no nesting can exhaust the stack."""
    level: list[Any] = [raw]
    for _ in range(DEEPEST_VALUE + 1):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, DBRef):
                value = value.as_doc()
            if isinstance(value, Mapping):
                for name in value:
                    _refuse_name(name, path)
                inner.extend(value.values())
            elif isinstance(value, list | tuple):
                inner.extend(value)
        if not inner:
            return
        level = inner
    raise WorkflowError(path, f"expected a value nested at most {DEEPEST_VALUE} levels deep, found a deeper one")


def _refuse_name(name: object, path: str) -> None:
    if not isinstance(name, str) or name.startswith("$") or "\0" in name:
        raise WorkflowError(path, f"expected names that are text and do not start with '$', found {found(name)}")
