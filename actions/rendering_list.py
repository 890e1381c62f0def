"""Filters on lists, in the place of Liquid's, which take more than linear time or fail."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from liquid import Environment, Markup
from liquid.exceptions import FilterArgumentError

from actions.rendering_argument import kind_of
from actions.rendering_comparison import equals
from actions.rendering_date import milliseconds_of
from actions.rendering_value import is_number, text_of

_LAST: Final = 9


def concat(values: Sequence[Any], others: Any) -> list[Any]:
    """Return the entries of two lists as one list."""
    if not isinstance(others, list | tuple | range):
        raise FilterArgumentError(f"concat: expected a list, found {kind_of(others)}", token=None)
    return [*values, *others]


def uniq(values: Sequence[Any], key: Any = None) -> list[Any]:
    """Return a list without repeated entries, or without entries whose ``key`` is repeated."""
    seen: set[Any] = set()
    result = []
    for value in values:
        form = _hashable(_at(value, key))
        if form not in seen:
            seen.add(form)
            result.append(value)
    return result


def sort(values: Sequence[Any], key: Any = None) -> list[Any]:
    """Return a list in order: numbers, dates, texts, the rest, and last what is null or missing."""
    return sorted(values, key=lambda value: _rank(_at(value, key)))


def sort_natural(values: Sequence[Any], key: Any = None) -> list[Any]:
    """Return a list in the order of its texts, whatever their case; last what is null or missing."""
    return sorted(values, key=lambda value: _rank_of_text(_at(value, key)))


def map_to(values: Sequence[Any], key: Any) -> list[Any]:
    """Return what a list's objects hold under ``key``."""
    return [_at(value, key) for value in values]


def where(values: Sequence[Any], key: Any, sought: Any = None) -> list[Any]:
    """Return the entries that hold ``sought`` under ``key``; without ``sought``, anything but null and false."""
    return [value for value in values if _holds(value, key, sought)]


def reject(values: Sequence[Any], key: Any, sought: Any = None) -> list[Any]:
    """Return the entries that ``where`` leaves out."""
    return [value for value in values if not _holds(value, key, sought)]


def find(values: Sequence[Any], key: Any, sought: Any = None) -> Any:
    """Return the first entry that ``where`` finds, else None."""
    return next((value for value in values if _holds(value, key, sought)), None)


def find_index(values: Sequence[Any], key: Any, sought: Any = None) -> int | None:
    """Return the place of the first entry that ``where`` finds, else None."""
    return next((place for place, value in enumerate(values) if _holds(value, key, sought)), None)


def has(values: Sequence[Any], key: Any, sought: Any = None) -> bool:
    """Return whether ``where`` finds any entry."""
    return any(_holds(value, key, sought) for value in values)


def compact(values: Sequence[Any], key: Any = None) -> list[Any]:
    """Return the entries that are not null, or hold something else than null under ``key``."""
    return [value for value in values if _at(value, key) is not None]


def join(values: Iterable[Any], separator: Any = " ", *, environment: Environment) -> str:
    """Return the texts of a list with ``separator`` between them."""
    between = text_of(separator)
    if environment.autoescape and between == " ":
        between = Markup(" ")
    return between.join(map(text_of, values))


def _at(value: Any, key: Any) -> Any:
    """Return the value under ``key``, None where there is none; the value itself without a key."""
    if key is None:
        return value
    return value.get(str(key)) if isinstance(value, dict) else None


def _holds(value: Any, key: Any, sought: Any) -> bool:
    """Return whether an entry holds ``sought`` under ``key``; a text in its place, such as a tag, is its own key."""
    held = value == key and isinstance(value, str) if not isinstance(value, dict) else _at(value, key)
    return held not in (None, False) if sought is None else equals(held, sought)


def _rank(value: Any) -> tuple[int, Any]:
    if value is None:
        return _LAST, 0
    if is_number(value):
        return (0, value) if value == value else (1, 0)  # NaN has no place among numbers
    instant = milliseconds_of(value)
    if instant is not None:
        return 2, instant
    return 3 if isinstance(value, str) else 4, text_of(value)


def _rank_of_text(value: Any) -> tuple[int, str]:
    return (_LAST, "") if value is None else (0, text_of(value).lower())


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return (bool, value) if isinstance(value, bool) else value
