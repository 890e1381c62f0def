"""Recognise and compare dates in templates, always in UTC.

BSON's dates go far beyond the years that Python knows, and templates get them from texts and numbers as well.
"""

from datetime import UTC, date, datetime, time
from typing import Final

from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

from rules.value import date_at, milliseconds

TEXT_CHARACTERS: Final = 100  # of a text that is read as a date

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
        near = date_at(rest)
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
        return date_at(int(value))
    except OverflowError:
        return FarDate(int(value))


def milliseconds_of(value: object) -> int | None:
    """Return a date as milliseconds since 1970, None for other values."""
    if isinstance(value, FarDate):
        return value.milliseconds
    if isinstance(value, datetime):
        return milliseconds(value)
    if isinstance(value, date):
        return milliseconds(datetime.combine(value, time.min, UTC))
    return None


def milliseconds_of_text(text: str) -> int | None:
    """Return a date in ISO 8601 as milliseconds since 1970, without a zone in UTC; None for other texts."""
    if len(text) > TEXT_CHARACTERS:
        return None
    try:
        return milliseconds_of(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return None
