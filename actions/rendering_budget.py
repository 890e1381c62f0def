"""Limit the work of one rendering, by a Liquid context that counts it.

Users write templates, and strangers type the values in them. Nothing escapes from Liquid's sandbox, but a template can
work for ever: by loops, by values that double, by filters that multiply. So every value that enters an expression is
measured, the work of every loop is counted before it starts, and a filter is refused before it multiplies.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from liquid import RenderContext
from liquid.exceptions import ResourceLimitError
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import UNDEFINED

from actions.rendering_limit import LIST_LENGTH, VALUE_SIZE, list_limit, value_limit
from actions.rendering_value import LeftOut, text_of, whole

LOOP_ITERATIONS: Final = 2_000  # of all loops of a rendering together
INTEGER_BITS: Final = 512
WORK: Final = 3_000_000  # characters and values moved

TAG_WORK: Final = 40
ENTRY_WORK: Final = 8  # of anything that is not a text
FILTER_WORK: Final = 50
SIGN_WORK: Final = 5  # of filters that handle one sign of a text after another
_BY_SIGN: Final = frozenset({"escape_once", "escapejs", "strip_html", "url_encode"})


class BudgetContext(RenderContext):
    """The context of one rendering: it raises ResourceLimitError, naming the limit, where one is passed."""

    def __init__(self, template: Any, **options: Any) -> None:
        super().__init__(template, **options)
        self._work_left = WORK
        self._iterations_left = LOOP_ITERATIONS
        self._work_of_a_pass: int = template.work

    def spend(self, work: int) -> None:
        """Take ``work`` from the budget."""
        self._work_left -= work
        if self._work_left < 0:
            raise ResourceLimitError(f"work limit of {WORK:,} passed", token=None)

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """Return the value at ``path`` and count its size."""
        value = super().get(path, token=token, default=default)
        self.spend(1 + weight(value))
        return value

    def get_item(self, obj: Any, key: Any) -> Any:
        """Return what ``obj`` holds under ``key``."""
        if isinstance(obj, LeftOut):
            raise ResourceLimitError(obj.limit, token=None)
        return super().get_item(obj, whole(key))

    def assign(self, key: str, val: Any) -> None:
        """Assign a variable, and count the work that Liquid does then: it measures all variables."""
        self.spend(1 + 10 * len(self.locals))
        super().assign(key, val)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Count a loop before it starts: Liquid itself counts nested loops, but not those that follow each other."""
        self._iterations_left -= length
        if self._iterations_left < 0:
            raise ResourceLimitError(f"loop limit of {LOOP_ITERATIONS:,} iterations passed", token=None)
        self.spend(length * self._work_of_a_pass)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Return the filter ``name``, which counts the sizes of its arguments and of its result."""
        return partial(self._filtered, name, super().filter(name, token))

    def _filtered(self, name: str, function: Callable[..., object], *args: Any, **options: Any) -> object:
        self.spend(FILTER_WORK + sum(map(weight, args)) + sum(map(weight, options.values())))
        self.spend(_extra_work(name, args))
        if _growth(name, args) > VALUE_SIZE:
            raise ResourceLimitError(f"{value_limit()} by filter '{name}'", token=None)
        result = function(*args, **options)
        self.spend(weight(result))
        return result


class BoundedStop(Expression):
    """The end of a range ``(start..stop)``, refused where the range would be longer than any loop may be.

    Liquid walks through a range before it counts the range, in C and without a pause.
    """

    def __init__(self, start: Expression, stop: Expression) -> None:
        super().__init__(stop.token)
        self._start = start
        self._stop = stop

    def __str__(self) -> str:
        return str(self._stop)

    def evaluate(self, context: RenderContext) -> object:
        """Return the end of the range."""
        stop = self._stop.evaluate(context)
        if _whole(stop) - _whole(self._start.evaluate(context)) >= LOOP_ITERATIONS:
            raise ResourceLimitError(f"range limit of {LOOP_ITERATIONS:,} numbers passed", token=None)
        return stop

    def children(self) -> list[Expression]:
        """Return the expression that gives the end."""
        return [self._stop]


def weight(value: Any) -> int:
    """Return the size of ``value``; raise ResourceLimitError if it is larger than any value may be."""
    total = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            total += len(item)
        elif isinstance(item, Mapping):
            total += sum(map(len, item))
            _check_length(len(item))
            waiting.extend(item.values())
        elif isinstance(item, range):
            _check_length(len(item))
            total += len(item)
        elif isinstance(item, Sequence):
            _check_length(len(item))
            waiting.extend(item)
        elif isinstance(item, int) and item.bit_length() > INTEGER_BITS:
            raise ResourceLimitError(f"number limit of {INTEGER_BITS} bits passed", token=None)
        elif isinstance(item, LeftOut):
            raise ResourceLimitError(item.limit, token=None)
        total += ENTRY_WORK
        if total + len(waiting) > VALUE_SIZE:
            raise ResourceLimitError(value_limit(), token=None)
    return total


def _growth(name: str, args: Sequence[Any]) -> int:
    """Return the size of the result of filter ``name``, for the filters that multiply; 0 for others."""
    if name == "replace" and len(args) > 2:
        text, sought, new = map(text_of, args[:3])
        return text.count(sought) * len(new)
    if name == "join" and len(args) > 1 and isinstance(args[0], Sequence):
        return len(args[0]) * len(text_of(args[1]))
    return 0


def _extra_work(name: str, args: Sequence[Any]) -> int:
    """Return the extra work of the filters that look at everything more than once."""
    if name in ("sort", "sort_natural") and args and isinstance(args[0], list):
        return len(args[0]) * math.ceil(math.log2(len(args[0]) + 1))
    if name in _BY_SIGN:
        return SIGN_WORK * sum(len(arg) for arg in args if isinstance(arg, str))
    return 0


def _check_length(length: int) -> None:
    if length > LIST_LENGTH:
        raise ResourceLimitError(list_limit(), token=None)


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
