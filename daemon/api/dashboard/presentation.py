"""Format stored values for pages. Documents may have been edited by hand: nothing here raises on odd values."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from config.found import spelled
from config.plain import timestamp
from daemon.admin.json_form import to_json
from daemon.admin.plan import label_of

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_LONGEST_JSON: Final = 20_000
_BAR_WIDTH, _BAR_HEIGHT = 5, 24  # of a sparkline, in its own units


def exact(at: Any) -> str:
    """Return an instant as ``2026-05-04 09:00:00 UTC``, anything else as it is."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(at, datetime) else _text(at)


def machine(at: Any) -> str:
    """Return an instant for the ``datetime`` attribute, nothing for anything else."""
    return timestamp(at) if isinstance(at, datetime) else ""


def relative(at: Any, now: datetime) -> str:
    """Return how long ago an instant is, or how far ahead: ``3 min ago``, ``in 2 h``."""
    if not isinstance(at, datetime):
        return _text(at)
    ahead = (at - now).total_seconds()
    if abs(ahead) < 1:
        return "now"
    return f"in {span(ahead)}" if ahead > 0 else f"{span(-ahead)} ago"


def span(length: Any) -> str:
    """Return a duration, or a number of seconds, by its largest units: ``850 ms``, ``5 min``, ``2 d 3 h``."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return _text(length)
    if seconds < 1:
        return f"{max(round(seconds * 1000), 0)} ms"
    left = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def as_json(value: Any) -> str:
    """Return a stored value as readable JSON, cut where it grows too long to read."""
    text = json.dumps(to_json(value), ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= _LONGEST_JSON else f"{text[:_LONGEST_JSON]}\n… ({len(text)} characters)"


def brief(value: Any, longest: int = 200) -> str:
    """Return a stored value in one line of at most ``longest`` characters and an ellipsis."""
    text = value if isinstance(value, str) else json.dumps(to_json(value), ensure_ascii=False, default=str)
    return text if len(text) <= longest else f"{text[:longest]}…"


def bars(hours: Sequence[dict[str, int]]) -> list[dict[str, Any]]:
    """Return a sparkline as rectangles ``{x, y, width, height, is_failed}``: failed runs at the foot of each bar."""
    highest = max([1, *(hour["runs"] for hour in hours)])
    drawn = []
    for place, hour in enumerate(hours):
        foot = 0.0
        for count, is_failed in ((hour["failed"], True), (hour["runs"] - hour["failed"], False)):
            if count > 0:
                height = max(count / highest * _BAR_HEIGHT, 1.5)
                y = round(_BAR_HEIGHT - foot - height, 2)
                x, width = place * _BAR_WIDTH, _BAR_WIDTH - 1
                drawn.append({"x": x, "y": y, "width": width, "height": round(height, 2), "is_failed": is_failed})
                foot += height
    return drawn


def way(result: Any) -> str:
    """Return which way a branch went, and why: ``Taken: hot (case 1). score greater_than 80, found 91: met.``"""
    if not isinstance(result, Mapping):
        return ""
    taken, name = result.get("taken"), result.get("name")
    arm = label_of(taken) if isinstance(taken, str) else "nothing"
    findings = result.get("findings")
    told = [_finding(each) for each in findings if isinstance(each, Mapping)] if isinstance(findings, list) else []
    return " ".join([f"Taken: {f'{name} ({arm})' if name else arm}.", *told])


def _finding(finding: Mapping[str, Any]) -> str:
    expected = f" {spelled(finding['expected'])}" if finding.get("expected") is not None else ""
    actual = spelled(finding["actual"]) if "actual" in finding else "nothing"
    verdict = str(finding.get("verdict")).replace("_", " ")
    return f"{finding.get('field')} {finding.get('operator')}{expected}, found {actual}: {verdict}."


def _text(value: Any) -> str:
    return "" if value is None else str(value)
