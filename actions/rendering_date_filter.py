"""The filter ``date``: writes a date as a template says, in UTC; reads one from texts and numbers as Liquid does."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from dateutil import parser
from liquid import Environment, Markup, RenderContext
from liquid.exceptions import FilterArgumentError, ResourceLimitError

from actions.rendering_date import EPOCH, TEXT_CHARACTERS
from actions.rendering_value import is_number, text_of

FORMAT_CHARACTERS: Final = 200


def date_filter(value: Any, template: Any, *, context: RenderContext, environment: Environment) -> str:
    """Return the filter ``date``: ``value`` written as ``template`` says; other values are left as they are."""
    if value is None:
        return ""
    moment = context.resolve("now", default=None) if value in ("now", "today") else _date(value)
    if template is None or not isinstance(moment, date):
        return text_of(value)
    text = text_of(template)
    if len(text) > FORMAT_CHARACTERS:
        raise ResourceLimitError(f"date format limit of {FORMAT_CHARACTERS} characters passed", token=None)
    try:
        written = moment.strftime(text)
    except ValueError as error:
        raise FilterArgumentError(f"date: {error}", token=None) from error
    return Markup(written) if environment.autoescape and isinstance(template, Markup) else written


def _date(value: Any) -> object:
    """Return the date that ``value`` is or stands for, else None."""
    if isinstance(value, str):
        return _date_of_text(value)
    if is_number(value):
        try:
            return EPOCH + timedelta(seconds=value if isinstance(value, int) else float(value))
        except (OverflowError, ValueError):  # ValueError: not a number
            return None
    return value


def _date_of_text(text: str) -> datetime | None:
    if text.isdecimal():
        try:
            return EPOCH + timedelta(seconds=int(text))
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
