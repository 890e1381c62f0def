"""List the possible readings of a phone number that people or programs wrote, the likeliest first."""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from bson import Decimal128

LONGEST: Final = 50  # characters that are looked at

_MOST_DIGITS: Final = 20  # E.164 allows 15
_SHORTEST_ABROAD: Final = 11  # digits that may begin with a country's code although no plus says so
_TRUNK: Final = re.compile(r"\(\s*0\s*\)")  # "+44 (0)20 …": to be left out when dialled from abroad
_ABROAD: Final = re.compile(r"\W*0\W*0")
_START: Final = re.compile(r"[+＋(\d]")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to be read as a phone number in ``region``; None where the text names the country.

    ``expected``: the reading counts only if its number is of this region.
    """

    text: str
    region: str | None = None
    expected: str | None = None


def phone_readings(raw: Any, region: str | None) -> list[Reading]:
    """Return the readings of ``raw``, the likeliest first.

    ``00`` is what most of the world dials for ``+``. Digits that begin with the code of ``region`` have it in front;
    other numbers without a plus are read in ``region``. Where such a number is not valid, or was stored as a
    number, which cannot begin with a plus, it may begin with any country's code.
    """
    text = _text_of(raw)
    start = _START.search(text)
    if start is None:
        return []
    text = text[start.start() :]
    has_plus = "+" in text or "＋" in text
    readings: list[Reading] = []
    if not has_plus and _ABROAD.match(text):
        readings.append(Reading("+" + _ABROAD.sub("", text)))
    is_long = text.isdigit() and len(text) >= _SHORTEST_ABROAD
    if is_long and region is not None:
        readings.append(Reading(f"+{text}", expected=region))
    if has_plus or region is not None:
        readings.append(Reading(text, region))
    if is_long and (region is not None or not isinstance(raw, str)):
        readings.append(Reading(f"+{text}"))
    return readings + [replace(each, text=_TRUNK.sub("", each.text)) for each in readings if _TRUNK.search(each.text)]


def _text_of(raw: Any) -> str:
    """Return the digits of a number, the text of a text, and nothing of anything else."""
    if isinstance(raw, str):
        return raw.strip() if len(raw) <= LONGEST else ""
    if isinstance(raw, bool):
        return ""
    if isinstance(raw, Decimal128):
        value = raw.to_decimal()
        raw = int(value) if value.is_finite() and value.adjusted() < _MOST_DIGITS and value == int(value) else None
    if isinstance(raw, float):
        raw = int(raw) if raw.is_integer() else None
    return str(int(raw)) if isinstance(raw, int) and 0 < raw < 10**_MOST_DIGITS else ""
