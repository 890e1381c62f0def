"""What a daemon's log must not show after a fault: floods, and errors where none happened (I7)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

QUIET: Final = ("reader.reopened", "store.unavailable")  # what loops log when they try again
PER_SECOND: Final = 2  # one, and one for the edges of the second


def floods(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for every loop that logged more than once a second."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        event = line["event.action"]
        if event in QUIET:
            counts[event, str(line.get("reflexd.during", "")), line["@timestamp"][:19]] += 1
    return [
        f"I7: {event} {during} was logged {count} times within {second}"
        for (event, during, second), count in counts.items()
        if count > PER_SECOND
    ]


def errors(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what was logged as an error."""
    return [f"{line['event.action']}: {line}" for line in lines if line["log.level"] == "error"]
