"""Compute when a scheduled workflow fires: five cron fields in a time zone; the answers are in UTC.

In a gap of summer time (a local time that does not exist) a run of fixed hour and minute fires at the end of the gap,
in an overlap (a local time that comes twice) once, the first time; runs repeated within the hour go by real time.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from config.error import WorkflowError, nearest
from config.found import LONGEST_SHOWN, found
from rules.validation import is_text

_SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST_EXPRESSION: Final = 256
_FIELDS: Final = 5
_EXPECTED: Final = "five cron fields (minute hour day month weekday), or @hourly, @daily, @weekly, @monthly, @yearly"
# A machine's names for its own zone: two replicas could mean different zones.
_LOCAL_NAMES: Final = frozenset({"localtime", "posixrules", "Factory"})
# Some machines have copies of all zones here; those under right/ count leap seconds.
_COPIES: Final = ("posix/", "right/")
# Where the search for a first run begins; it ends 50 years later, after every kind of leap year.
_SOME_INSTANT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SMALLEST_STEP: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The instants at which a workflow fires. ``expression`` and ``timezone`` are known to be good."""

    expression: str
    timezone: str
    _fields: str = field(init=False, repr=False, compare=False)
    _zone: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fields", _SHORTHANDS.get(self.expression, self.expression))
        # cronsim walks faster through datetime.UTC than through a zone that happens to be UTC.
        object.__setattr__(self, "_zone", UTC if self.timezone == "UTC" else ZoneInfo(self.timezone))

    def next_after(self, instant: datetime) -> datetime:
        """Return the first fire time after ``instant`` (aware), in UTC."""
        for fire_at in CronSim(self._fields, instant.astimezone(self._zone)):
            # In an overlap cronsim can answer with the first of the two hours while the second one is running.
            if (fire_at_utc := fire_at.astimezone(UTC)) > instant:
                return fire_at_utc
        raise LookupError(f"{self.expression!r} does not fire within 50 years after {instant}")

    def latest_between(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last fire time after ``after`` and not after ``until``, or None if there is none.

        Looks back in growing steps, then narrows down: the cost does not grow with the number of runs in between.
        """
        step = _SMALLEST_STEP
        start = until
        while True:
            if start <= after:
                return None
            end, start = start, max(after, until - step)
            if self.next_after(start) <= until:
                break
            step *= 2
        while end - start > _SMALLEST_STEP:
            middle = start + (end - start) / 2
            if self.next_after(middle) <= until:
                start = middle
            else:
                end = middle
        return self._last_from(self.next_after(start), until)

    def _last_from(self, fire_at: datetime, until: datetime) -> datetime:
        while (following := self.next_after(fire_at)) <= until:
            fire_at = following
        return fire_at


def parse_schedule(expression: object, timezone: object, path: str = "trigger") -> Schedule:
    """Return the schedule of the trigger at ``path``; raise WorkflowError at its ``schedule`` or ``timezone``."""
    fields = _parse_fields(expression, f"{path}.schedule")
    zone = parse_timezone(timezone, f"{path}.timezone")
    schedule = Schedule(fields, zone)
    try:
        schedule.next_after(_SOME_INSTANT)
    except CronSimError as error:
        raise WorkflowError(f"{path}.schedule", f"expected {_EXPECTED}, found {found(expression)}: {error}") from error
    except LookupError as error:
        problem = f"expected a schedule that fires some day, found {found(expression)}, which never does"
        raise WorkflowError(f"{path}.schedule", problem) from error
    return schedule


def parse_timezone(raw: object, path: str) -> str:
    """Return ``raw`` if it names a time zone, such as ``Europe/Lisbon``; raise WorkflowError if not."""
    if is_text(raw) and raw not in _LOCAL_NAMES and not raw.startswith(_COPIES):
        try:
            return ZoneInfo(raw).key
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe" is a directory
            pass
    hint = nearest(raw[:LONGEST_SHOWN], available_timezones() - _LOCAL_NAMES) if is_text(raw) else ""
    raise WorkflowError(path, f"expected a time zone such as 'Europe/Lisbon', found {found(raw)}{hint}")


def _parse_fields(raw: object, path: str) -> str:
    if not is_text(raw) or len(raw) > _LONGEST_EXPRESSION:
        raise WorkflowError(path, f"expected {_EXPECTED}, found {found(raw)}")
    text = " ".join(raw.split())
    if text.startswith("@"):
        if text == "@reboot":
            raise WorkflowError(path, f"expected {_EXPECTED}, found '@reboot': the daemon fires by the clock only")
        if text not in _SHORTHANDS:
            raise WorkflowError(path, f"expected {_EXPECTED}, found {found(raw)}{nearest(text, _SHORTHANDS)}")
        return text
    if (count := len(text.split())) != _FIELDS:
        raise WorkflowError(path, f"expected {_EXPECTED}, found {count} fields in {found(raw)}")
    return text
