"""The arguments of filters in templates, and the error texts for others."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from liquid.exceptions import FilterArgumentError

from actions.rendering_value import is_number

_GIVEN_BY_LIQUID: Final = frozenset({"context", "environment"})
_TEXT_CHARACTERS: Final = 20  # of a text that is read as a whole number


def argument_check(name: str, function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], None]:
    """Return what raises FilterArgumentError where the filter ``name`` is given too few or too many arguments."""
    _, *parameters = inspect.signature(function).parameters.values()
    placed = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    named = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY} - _GIVEN_BY_LIQUID
    least, most = sum(each.default is each.empty for each in placed), len(placed)

    def check(arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        if not least <= len(arguments) <= most:
            raise FilterArgumentError(f"{name}: expected {_count(least, most)}, found {len(arguments)}", token=None)
        for option in options:
            if option not in named and option not in _GIVEN_BY_LIQUID:
                raise FilterArgumentError(f"{name}: expected no argument with the name {option[:80]}", token=None)

    return check


def check_whole(name: str, value: Any) -> None:
    """Raise FilterArgumentError if the filter ``name`` cannot take ``value`` for a whole number."""
    is_text = isinstance(value, str) and len(value) <= _TEXT_CHARACTERS and value.strip().lstrip("+-").isdecimal()
    is_finite = is_number(value) and math.isfinite(value)
    if value is not None and not is_text and not isinstance(value, bool) and not is_finite:
        raise FilterArgumentError(f"{name}: expected a whole number, found {kind_of(value)}", token=None)


def kind_of(value: Any) -> str:
    """Return what kind of value a template has there."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, words in ((str, "a text"), (dict, "an object"), (list | tuple | range, "a list"), (date, "a date")):
        if isinstance(value, kind):
            return words
    if is_number(value):
        return "a number" if math.isfinite(value) else "no finite number"
    return "another value"


def _count(least: int, most: int) -> str:
    if most == 0:
        return "no argument"
    number = f"{most}" if least == most else f"{least} or {most}" if least else f"at most {most}"
    return f"{number} argument{'' if most == 1 else 's'}"
