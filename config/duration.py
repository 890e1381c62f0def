"""Durations as people write them: a number of seconds, or a text such as ``5m``, ``3d`` or ``1h30m``."""

import re
from datetime import timedelta
from typing import Any, Final

from config.error import WorkflowError
from config.found import found

LONGEST: Final = timedelta(days=3650)

# Describes the durations that ``parse_duration`` accepts; the pattern covers only the usual texts.
DURATION_SCHEMA: Final[dict[str, Any]] = {
    "description": "A number of seconds, or a text such as 90s, 5m, 2h, 3d or 1h30m.",
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": LONGEST.total_seconds()},
        {"type": "string", "pattern": "^([0-9]{1,8}|[0-9]{1,2}w|[0-9]{1,3}[dhms]|[0-9]{1,3}h[0-9]{1,3}m)$"},
    ],
}

_UNITS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER: Final = re.compile(r"[0-9]{1,12}")
# Each unit at most once and the larger before the smaller, so that "1m30h" is taken for the slip that it is.
_TEXT: Final = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,12}}){unit})?" for unit in _UNITS))
_EXPECTED: Final = "a number of seconds from 0, or a text such as '90s', '5m', '2h', '3d', '1w' or '1h30m'"


def parse_duration(raw: object, path: str) -> timedelta:
    """Return the duration that ``raw`` stands for, from 0 to 10 years.

    ``path`` is where it was found, for the message of the WorkflowError that anything else raises. Booleans are
    not numbers; units are ``s m h d w``, and a text without a unit counts seconds.
    """
    seconds = _seconds(raw)
    if seconds is None:
        raise WorkflowError(path, f"expected {_EXPECTED}, found {found(raw)}")
    if seconds > LONGEST.total_seconds():
        raise WorkflowError(path, f"expected at most 10 years ({LONGEST.days} days), found {found(raw)}")
    return timedelta(seconds=seconds)


def duration_text(duration: timedelta) -> str:
    """Return a duration as ``parse_duration`` reads it: ``1d2h``, ``0s``; fractions of a second are left out."""
    left = int(duration.total_seconds())
    text = ""
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def _seconds(raw: object) -> float | None:
    """Return the seconds that ``raw`` stands for, None where it is no duration; they may be too many."""
    if isinstance(raw, str):
        return _seconds_in(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not raw >= 0:  # NaN is not either
        return None
    return raw


def _seconds_in(text: str) -> int | None:
    if _NUMBER.fullmatch(text):
        return int(text)
    match = _TEXT.fullmatch(text)
    if not match or not text:
        return None
    return sum(int(count) * _UNITS[unit] for unit, count in match.groupdict().items() if count)
