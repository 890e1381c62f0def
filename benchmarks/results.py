"""What was measured, repetition by repetition, and what is told of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.burden import BurdenRun, Neighbour
from benchmarks.burst import BurstRun
from benchmarks.figures import Spread, middle_spread
from benchmarks.growth import Growth
from benchmarks.idle import IdleRun

_LEAST_MS: Final = 1.0  # instants in MongoDB are whole milliseconds


@dataclass(slots=True)
class BurstResult:
    """One kind of burst: the runs of the daemon and of each bound, by the bound's name."""

    name: str
    leads: int
    daemon: list[BurstRun] = field(default_factory=list)
    bounds: dict[str, list[BurstRun]] = field(default_factory=dict)

    def ratio(self, bound: str) -> float:
        """Return the daemon's events a second by a bound's, medians."""
        return median_of(self.daemon, "events_per_s") / median_of(self.bounds[bound], "events_per_s")


@dataclass(slots=True)
class SpreadResult:
    """One kind of latency: the spreads of the daemon and of the two-phase bound."""

    name: str
    daemon: list[Spread] = field(default_factory=list)
    bound: list[Spread] = field(default_factory=list)

    def ratios(self) -> tuple[float | None, float | None]:
        """Return the daemon's p50 and p99 by the bound's; None where the bound's is below what can be told."""
        ours, theirs = middle_spread(self.daemon), middle_spread(self.bound)
        return _ratio(ours.p50, theirs.p50), _ratio(ours.p99, theirs.p99)


@dataclass(slots=True)
class BurdenResult:
    """One rate of the CRM's updates: the runs beside each neighbour."""

    name: str
    runs: dict[Neighbour, list[BurdenRun]]

    def left(self, neighbour: Neighbour, beside: Neighbour) -> float:
        """Return the updates a second beside one neighbour by those beside another, medians."""
        return _updates_per_s(self.runs[neighbour]) / _updates_per_s(self.runs[beside])


def _updates_per_s(runs: Sequence[BurdenRun]) -> float:
    return float(median(run.updates_per_s for run in runs))


@dataclass(slots=True)
class Results:
    """Everything of one run of the benchmark."""

    machine: dict[str, Any]
    plan: dict[str, Any]
    bursts: list[BurstResult] = field(default_factory=list)
    writes_per_s: list[float] = field(default_factory=list)
    drains_per_s: list[float] = field(default_factory=list)
    spreads: list[SpreadResult] = field(default_factory=list)
    observer_lag: Spread | None = None
    idle: dict[int, IdleRun] = field(default_factory=dict)
    long_burst: BurstRun | None = None
    burdens: list[BurdenResult] = field(default_factory=list)
    growth: Growth | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything, each repetition by itself."""
        return asdict(self)


def median_of(runs: Sequence[BurstRun], name: str) -> float:
    """Return the median of one figure over repetitions."""
    return float(median(getattr(run, name) for run in runs))


def _ratio(ours: float, theirs: float) -> float | None:
    return ours / theirs if theirs >= _LEAST_MS else None
