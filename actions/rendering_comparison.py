"""Compare and print values in templates, in the place of Liquid's own functions.

Liquid's own know neither dates nor decimals and raise where types differ. Here, as in conditions, a value that cannot
be compared is neither less nor greater. A date compares with another one, or with a text in ISO 8601.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final

from liquid import Markup, escape
from liquid.builtin import output
from liquid.builtin.expressions import logical
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.tags import case_tag, cycle_tag
from liquid.undefined import is_undefined

from actions.rendering_date import milliseconds_of, milliseconds_of_text
from actions.rendering_value import decimal_of, is_number, text_of


def equals(left: Any, right: Any) -> bool:
    """Return whether two values are equal: numbers and dates by what they stand for, null and missing alike."""
    if isinstance(left, Blank | Empty):
        left, right = right, left
    left, right = _plain(left), _plain(right)
    if isinstance(right, Blank):
        return left is None or left is False or bool(right == left)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    pair = _comparable(left, right)
    return bool(left == right) if pair is None else bool(pair[0] == pair[1])


def is_less(_token: Any, left: Any, right: Any) -> bool:
    """Return whether ``left`` is less than ``right``; False for what cannot be compared."""
    pair = _comparable(_plain(left), _plain(right))
    return pair is not None and bool(pair[0] < pair[1])


def is_less_or_equal(left: Any, right: Any) -> bool:
    """Return whether ``left`` is less than ``right`` or equal to it."""
    pair = _comparable(_plain(left), _plain(right))
    return pair is not None and bool(pair[0] <= pair[1])


def contains(_token: Any, left: Any, right: Any) -> bool:
    """Return whether a text holds a text, or a list an equal value; nothing is held by anything else."""
    left, right = _plain(left), _plain(right)
    if left is None or right is None or right is False:
        return False
    if isinstance(left, str):
        return text_of(right) in left
    return isinstance(left, Collection) and any(equals(each, right) for each in left)


def printed(value: Any, autoescape: bool) -> str:
    """Return a value as it is written into the result."""
    if not autoescape:
        return text_of(value)
    if isinstance(value, list):
        return Markup("").join(map(text_of, value))
    return escape(value if hasattr(value, "__html__") else text_of(value))


def _plain(value: Any) -> Any:
    """Return the value that an object of Liquid stands for; None for a missing one."""
    if is_undefined(value):
        return None
    return value.__liquid__() if hasattr(value, "__liquid__") else value


def _comparable(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Return two values in a form in which they compare, None for those that do not."""
    if isinstance(left, str) and isinstance(right, str):
        return left, right
    if is_number(left) and is_number(right):
        if isinstance(left, Decimal) or isinstance(right, Decimal):
            return decimal_of(left), decimal_of(right)
        return left, right
    pair = _instant(left, beside=right), _instant(right, beside=left)
    return None if None in pair else pair


def _instant(value: Any, *, beside: Any) -> int | None:
    """Return the instant of a date, or of a text beside a date."""
    if isinstance(value, str):
        return milliseconds_of_text(value) if milliseconds_of(beside) is not None else None
    return milliseconds_of(value)


_REPLACED: Final = (
    (logical, "_eq", equals),
    (logical, "_lt", is_less),
    (logical, "_le", is_less_or_equal),
    (logical, "_contains", contains),
    (case_tag, "_eq", equals),
    (output, "to_liquid_string", printed),
    (cycle_tag, "to_liquid_string", printed),
)


def install() -> None:
    """Put the functions of this module in the place of Liquid's; fail where Liquid no longer has them."""
    for module, name, function in _REPLACED:
        if not hasattr(module, name):
            raise AttributeError(f"liquid: expected {module.__name__}.{name}, found none")
        setattr(module, name, function)
