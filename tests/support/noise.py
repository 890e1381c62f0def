"""What a daemon's log must not show after a fault: floods, and errors where none happened (I7)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from daemon.telemetry import TRIED_AGAIN

APART_S: Final = 0.95  # a second, and a little for what lies between a look at the clock and the line
_CHANGING: Final = ("@timestamp",)
_WHAT: Final = ("process.pid", "event.action", "reflexd.during")


def floods(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for everything that was logged more than once a second.

    What loops say when they try again is the same whatever the error is. Of anything else it takes the very same line
    three times: a result that was dropped may be found and dropped once more.
    """
    told_at: defaultdict[tuple[str, ...], list[datetime]] = defaultdict(list)
    found: list[str] = []
    for line in lines:
        is_tried_again = line["event.action"] in TRIED_AGAIN
        names = _WHAT if is_tried_again else sorted(line.keys() - _CHANGING)
        key = tuple(f"{name}={line.get(name)}" for name in names)
        times = told_at[key]
        times.append(datetime.fromisoformat(line["@timestamp"]))
        before = times[-2 if is_tried_again else -3 :][0]
        took_s = (times[-1] - before).total_seconds()
        if len(times) > (1 if is_tried_again else 2) and took_s < APART_S:
            found.append(f"I7: {' '.join(key)[:300]} was logged again within {took_s:.3f} s")
    return found


def errors(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what was logged as an error."""
    return [f"{line['event.action']}: {line}" for line in lines if line["log.level"] == "error"]
