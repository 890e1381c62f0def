"""What is told of many measurements of one thing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of one set of measurements, in milliseconds."""

    least: float
    p50: float
    p99: float
    most: float
    count: int

    def to_json(self) -> dict[str, Any]:
        """Return it for the JSON file."""
        return asdict(self)


def spread_of(values_ms: Sequence[float]) -> Spread:
    """Return the spread of at least one measurement."""
    ordered = sorted(values_ms)
    return Spread(ordered[0], percentile(ordered, 50), percentile(ordered, 99), ordered[-1], len(ordered))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of values in ascending order."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


def middle_spread(spreads: Sequence[Spread]) -> Spread:
    """Return the medians, each on its own, of the spreads of several repetitions."""
    return Spread(
        min(each.least for each in spreads),
        median(each.p50 for each in spreads),
        median(each.p99 for each in spreads),
        max(each.most for each in spreads),
        sum(each.count for each in spreads),
    )
