"""The filters of templates: Liquid's, in which null and missing values are blank wherever a text is expected."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from liquid.exceptions import FilterArgumentError, FilterError
from liquid.filter import sequence_filter, with_context, with_environment
from liquid.undefined import is_undefined

from actions import rendering_list, rendering_number, rendering_text
from actions.rendering_argument import argument_check, check_whole, kind_of
from actions.rendering_date_filter import date_filter
from actions.rendering_value import text_of, whole

Function = Callable[..., Any]

_OWN: Final[Mapping[str, Function]] = {
    "abs": rendering_number.absolute,
    "at_least": rendering_number.at_least,
    "at_most": rendering_number.at_most,
    "ceil": rendering_number.ceil,
    "compact": sequence_filter(rendering_list.compact),
    "concat": sequence_filter(rendering_list.concat),
    "date": with_context(with_environment(date_filter)),
    "divided_by": rendering_number.divided_by,
    "escape_once": with_environment(rendering_text.escape_once),
    "find": sequence_filter(rendering_list.find),
    "find_index": sequence_filter(rendering_list.find_index),
    "floor": rendering_number.floor,
    "has": sequence_filter(rendering_list.has),
    "join": with_environment(sequence_filter(rendering_list.join)),
    "map": sequence_filter(rendering_list.map_to),
    "minus": rendering_number.minus,
    "modulo": rendering_number.modulo,
    "plus": rendering_number.plus,
    "reject": sequence_filter(rendering_list.reject),
    "remove_last": rendering_text.remove_last,
    "replace_last": rendering_text.replace_last,
    "round": rendering_number.rounded,
    "sort": sequence_filter(rendering_list.sort),
    "sort_natural": sequence_filter(rendering_list.sort_natural),
    "strip_html": rendering_text.strip_html,
    "sum": sequence_filter(rendering_number.total),
    "times": rendering_number.times,
    "uniq": sequence_filter(rendering_list.uniq),
    "where": sequence_filter(rendering_list.where),
}
_WITH_TEXT: Final = frozenset(
    {"append", "join", "prepend", "remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last"}
)
_OF_TEXT: Final = (_WITH_TEXT - {"join"}) | {
    *("base64_decode", "base64_encode", "base64_url_safe_decode", "base64_url_safe_encode", "capitalize", "downcase"),
    *("escape", "escape_once", "escapejs", "lstrip", "newline_to_br", "rstrip", "split", "squish", "strip"),
    *("strip_html", "strip_newlines", "truncate", "truncatewords", "upcase", "url_decode", "url_encode"),
}
_OF_LISTS: Final = frozenset(
    {"compact", "concat", "find", "find_index", "has", "join", "map", "reject", "reverse", "where"}
    | {"sort", "sort_natural", "sum", "uniq"}
)
_WITH_DEFAULTS: Final = frozenset(
    {"compact", "round", "slice", "sort", "sort_natural", "sum", "truncate", "truncatewords", "uniq"}
)
_COUNTS: Final = {"slice": 2, "truncate": 1, "truncatewords": 1}  # how many of the first arguments are whole numbers


def prepared(filters: Mapping[str, Function]) -> dict[str, Function]:
    """Return Liquid's filters, with ours in the place of wrong or slow ones; all of them accept null."""
    return {name: _prepared(name, _OWN.get(name, function)) for name, function in filters.items()}


def _prepared(name: str, function: Function) -> Function:
    check = argument_check(name, function)

    @wraps(function)
    def filtered(value: Any, *args: Any, **options: Any) -> Any:
        check(args, options)
        try:
            return function(_subject(name, value), *_arguments(name, args), **options)
        except FilterError as error:
            problem = str(error.message).removeprefix(f"{name}: ")
        except (TypeError, ValueError, ArithmeticError):
            problem = f"cannot be applied to {kind_of(value)} with these arguments"
        raise FilterArgumentError(f"{name}: {problem}", token=None)

    return filtered


def _subject(name: str, value: Any) -> Any:
    """Return the value of a filter in the form that the filter expects; a missing value is null."""
    if is_undefined(value):
        value = None
    if name in _OF_TEXT:
        return text_of(value)
    if value is None and name in _OF_LISTS:
        return []
    return "" if value is None and name == "slice" else value


def _arguments(name: str, arguments: tuple[Any, ...]) -> list[Any]:
    """Return a filter's arguments; null is blank for a text, and otherwise the filter's default."""
    given = [None if is_undefined(each) else each for each in arguments]
    if name in _WITH_TEXT:
        return [each if isinstance(each, str) else text_of(each) for each in given]
    for place in range(min(len(given), _COUNTS.get(name, 0))):
        check_whole(name, given[place])
        given[place] = whole(given[place])
    if name == "slice" and given and given[0] is None:
        given[0] = 0
    if name == "concat":
        return [[] if each is None else each for each in given]
    if name in _WITH_DEFAULTS:
        while given and given[-1] is None:
            given.pop()
    return given
