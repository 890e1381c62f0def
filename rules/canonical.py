"""One spelling for equal values: enrollment keys rest on it, and look-ups by an id that somebody gave.

BSON has several numbers for one value (1, 1.0, Decimal128 1.00), and keys are compared as bytes. Two values have the
same canonical form if ``rules.value.is_equal`` says that they are equal.
"""

import uuid
from decimal import Context
from typing import Any, Final

from bson import Binary, Code, Decimal128, ObjectId

from rules.budget import Budget
from rules.value import NAN, Bracket, bracket_of, comparable

_PLAIN: Final = frozenset({str, bool, ObjectId, type(None)})
_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**63 - 1
_DIGITS: Final = Context(prec=34, Emin=-6143, Emax=6144)  # of Decimal128
_DECIMAL_STEPS: Final = 100
_TEXT_SHIFT: Final = 5  # 32 bytes are encoded and hashed in a step


def canonical(value: Any, budget: Budget) -> Any:
    """Return the canonical form of a value; a missing one is null. Raise TooCostly if ``budget`` is used up."""
    kind = type(value)
    if kind in _PLAIN:
        budget.spend(2 + (len(value) >> _TEXT_SHIFT if kind is str else 0))
        return value
    bracket = bracket_of(value)
    budget.spend(10 + (len(value) >> _TEXT_SHIFT if isinstance(value, bytes) else 0))
    match bracket:
        case Bracket.NULL:
            return None
        case Bracket.NUMBER:
            return _number(value, budget)
        case Bracket.DOCUMENT:
            members = value if hasattr(value, "items") else value.as_doc()
            return {name: canonical(member, budget) for name, member in members.items()}
        case Bracket.ARRAY:
            return [canonical(member, budget) for member in value]
        case Bracket.SCOPED_CODE:
            return Code(str(value), canonical(value.scope, budget))
        case _:
            return Binary.from_uuid(value) if isinstance(value, uuid.UUID) else value


def _number(value: Any, budget: Budget) -> Any:
    """Return a whole number as int where BSON has one so large, else what a double holds exactly as float."""
    budget.spend(_DECIMAL_STEPS if isinstance(value, Decimal128) else 0)
    number = comparable(value, Bracket.NUMBER)
    if number is NAN:
        return float("nan")
    if _LOWEST <= number <= _HIGHEST and number == int(number):
        return int(number)
    as_float = float(number)
    return as_float if number == as_float else Decimal128(number.normalize(_DIGITS))
