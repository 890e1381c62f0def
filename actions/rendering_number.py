"""Liquid's filters that calculate, for whole numbers, doubles and decimals alike.

Whole numbers stay whole, doubles are added as they are written (0.1 and 0.2 make 0.3), and a result with a decimal is
a decimal with all its digits. A text that is a number counts as that number, everything else as 0, as in Liquid.
"""

import math
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from liquid.exceptions import FilterArgumentError

from actions.rendering_value import ARITHMETIC, decimal_of, is_number

Number = int | float | Decimal

TEXT_CHARACTERS: Final = 100  # of a text that is read as a number
MOST_DIGITS: Final = 34  # behind the point, when a number is rounded


def number_of(value: Any) -> Number:
    """Return the number that ``value`` is, or is the text of; 0 for other values."""
    if is_number(value):
        number: Number = value
        return number
    return _number_of_text(value) if isinstance(value, str) and len(value) <= TEXT_CHARACTERS else 0


def _number_of_text(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return 0


def plus(value: Any, other: Any) -> Number:
    """Return the filter ``plus``."""
    return _calculated(value, other, operator.add, ARITHMETIC.add)


def minus(value: Any, other: Any) -> Number:
    """Return the filter ``minus``."""
    return _calculated(value, other, operator.sub, ARITHMETIC.subtract)


def times(value: Any, other: Any) -> Number:
    """Return the filter ``times``."""
    return _calculated(value, other, operator.mul, ARITHMETIC.multiply)


def divided_by(value: Any, other: Any) -> Number:
    """Return the filter ``divided_by``; two whole numbers make a whole number."""
    _check_divisor("divided_by", other)
    left, right = number_of(value), number_of(other)
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return ARITHMETIC.divide(decimal_of(left), decimal_of(right))
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    return left / right


def modulo(value: Any, other: Any) -> Number:
    """Return the filter ``modulo``."""
    _check_divisor("modulo", other)
    return _calculated(value, other, operator.mod, ARITHMETIC.remainder)


def at_least(value: Any, other: Any) -> Number:
    """Return the filter ``at_least``."""
    left, right = number_of(value), number_of(other)
    return left if decimal_of(left) >= decimal_of(right) else right


def at_most(value: Any, other: Any) -> Number:
    """Return the filter ``at_most``."""
    left, right = number_of(value), number_of(other)
    return left if decimal_of(left) <= decimal_of(right) else right


def absolute(value: Any) -> Number:
    """Return the filter ``abs``."""
    number = number_of(value)
    return -number if number < 0 else number


def ceil(value: Any) -> Number:
    """Return the filter ``ceil``."""
    number = number_of(value)
    return math.ceil(number) if math.isfinite(number) else number


def floor(value: Any) -> Number:
    """Return the filter ``floor``."""
    number = number_of(value)
    return math.floor(number) if math.isfinite(number) else number


def rounded(value: Any, digits: Any = 0) -> Number:
    """Return the filter ``round``: a whole number unless more than 0 ``digits`` are asked for."""
    number, places = number_of(value), number_of(digits)
    if not math.isfinite(number) or not math.isfinite(places):
        return number
    if places < 0:
        return 0
    if places < 1:
        return round(number)
    digits = min(int(places), MOST_DIGITS)
    if not isinstance(number, Decimal):
        return round(number, digits)
    result = ARITHMETIC.quantize(number, Decimal(1).scaleb(-digits))
    return number if result.is_nan() else result  # it has fewer digits than that, or too many in all


def total(values: Sequence[Any], key: Any = None) -> Number:
    """Return the filter ``sum``: of the numbers in a list, or of those under ``key`` in its objects."""
    result: Number = 0
    for value in values:
        each = value if key is None else value.get(str(key)) if isinstance(value, dict) else None
        result = plus(result, each)
    return result


def _calculated(
    value: Any, other: Any, plain: Callable[[Any, Any], Any], decimal: Callable[[Decimal, Decimal], Decimal]
) -> Number:
    left, right = number_of(value), number_of(other)
    if isinstance(left, int) and isinstance(right, int):
        whole: int = plain(left, right)
        return whole
    result = decimal(decimal_of(left), decimal_of(right))
    return result if isinstance(left, Decimal) or isinstance(right, Decimal) else float(result)


def _check_divisor(name: str, other: Any) -> None:
    if number_of(other) == 0:
        raise FilterArgumentError(f"{name}: can't divide by 0", token=None)
