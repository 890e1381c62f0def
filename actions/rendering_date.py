"""Dates in templates: what is one, how it is written, and how two of them compare; always in UTC.

BSON's dates go far beyond the years that Python knows, and templates get them from texts and numbers as well.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp
from dateutil import parser
from liquid import Environment, Markup, RenderContext
from liquid.exceptions import FilterArgumentError, ResourceLimitError

FORMAT_CHARACTERS: Final = 200
TEXT_CHARACTERS: Final = 100  # of a text that is read as a date

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_CYCLE_MS: Final = 146_097 * 86_400_000  # the calendar repeats after 400 years
_CYCLE_YEARS: Final = 400


class FarDate:
    """A date before the year 1 or after 9999, in milliseconds since 1970."""

    __slots__ = ("milliseconds",)

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def __str__(self) -> str:
        """Return the date as ``+012026-03-02 09:00:00+00:00``."""
        cycles, rest = divmod(self.milliseconds, _CYCLE_MS)
        near = _EPOCH + rest * _MILLISECOND
        return f"{near.year + cycles * _CYCLE_YEARS:+07d}{near.isoformat(' ')[4:]}"

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` is the same instant."""
        return isinstance(other, FarDate) and other.milliseconds == self.milliseconds

    def __hash__(self) -> int:
        """Return the hash of the instant."""
        return hash(self.milliseconds)


def date_of_bson(value: DatetimeMS | Timestamp) -> datetime | FarDate:
    """Return the date that a BSON value other than ``datetime`` stands for."""
    if isinstance(value, Timestamp):
        return value.as_datetime()
    try:
        return _EPOCH + int(value) * _MILLISECOND
    except OverflowError:
        return FarDate(int(value))


def milliseconds_of(value: object) -> int | None:
    """Return a date as milliseconds since 1970, None for what is no date."""
    if isinstance(value, FarDate):
        return value.milliseconds
    if isinstance(value, datetime):
        return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    if isinstance(value, date):
        return (datetime.combine(value, time.min, UTC) - _EPOCH) // _MILLISECOND
    return None


def milliseconds_of_text(text: str) -> int | None:
    """Return a date in ISO 8601 as milliseconds since 1970, without a zone in UTC; None for other texts."""
    if len(text) > TEXT_CHARACTERS:
        return None
    try:
        return milliseconds_of(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return None


def date_filter(value: Any, template: Any, *, context: RenderContext, environment: Environment) -> str:
    """Return the filter ``date``: ``value`` written as ``template`` says; what is no date is left as it is."""
    if value is None:
        return ""
    moment = context.resolve("now", default=None) if value in ("now", "today") else _date(value)
    if template is None or not isinstance(moment, date):
        return str(value)
    text = str(template)
    if len(text) > FORMAT_CHARACTERS:
        raise ResourceLimitError(f"date format limit of {FORMAT_CHARACTERS} characters passed", token=None)
    try:
        written = moment.strftime(text)
    except ValueError as error:
        raise FilterArgumentError(f"date: {error}", token=None) from error
    return Markup(written) if environment.autoescape and isinstance(template, Markup) else written


def _date(value: object) -> object:
    """Return the date that ``value`` is or stands for, else None."""
    if isinstance(value, str):
        return _date_of_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return _EPOCH + timedelta(seconds=value)
        except OverflowError:
            return None
    return value


def _date_of_text(text: str) -> datetime | None:
    if text.isdecimal():
        try:
            return _EPOCH + timedelta(seconds=int(text))
        except (OverflowError, ValueError) as error:
            problem = f"date: expected seconds since 1970 up to the year 9999, found {len(text)} digits"
            raise FilterArgumentError(problem, token=None) from error
    if len(text) > TEXT_CHARACTERS:
        return None
    try:
        moment: datetime = parser.parse(text, tzinfos=_zone)
    except (ValueError, OverflowError, ArithmeticError, LookupError, TypeError, AttributeError):
        return None
    return moment


def _zone(_name: str | None, offset_s: int | None) -> int:
    """Return the offset of a zone; a name that is not known means UTC (without this, dateutil warns of it)."""
    return offset_s or 0
