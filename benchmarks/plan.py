"""How much is measured: sizes of the full and of the quick run."""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """Sizes that are measured side by side, and single large ones."""

    workflows: tuple[int, ...]
    updates: int
    waiting: tuple[int, ...]
    leads: int  # of the burst beside those that wait
    due: int
    deals: int
    switches: int
    largest: int
    edits: int  # of each of the largest workflows


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of leads, repetitions and seconds. Contenders alternate; medians over repetitions are told."""

    leads: int
    repetitions: int
    steady: tuple[tuple[float, int], ...]  # leads a second, leads
    latency_repetitions: int
    delayed: int
    delay_s: float
    crowd: int  # leads whose delays end within two seconds
    idle_s: float
    replicas: tuple[int, ...]
    long_burst: int  # leads of the burst that memory is judged by; 0 leaves it out
    burden_s: float  # of each run beside a neighbour
    growth: GrowthPlan | None


FULL: Final = Plan(
    leads=30_000,
    repetitions=3,
    steady=((20.0, 600), (300.0, 3_000)),
    latency_repetitions=2,
    delayed=1_000,
    delay_s=3.0,
    crowd=1_000,
    idle_s=30.0,
    replicas=(1, 3),
    long_burst=100_000,
    burden_s=10.0,
    growth=GrowthPlan(
        workflows=(10, 10_000, 10_000, 10),
        updates=10_000,
        waiting=(0, 1_000_000),
        leads=10_000,
        due=200_000,
        deals=200_000,
        switches=100_000,
        largest=10,
        edits=4,
    ),
)
QUICK: Final = replace(
    FULL,
    leads=5_000,
    repetitions=1,
    steady=((20.0, 60), (300.0, 450)),
    latency_repetitions=1,
    delayed=60,
    delay_s=1.0,
    crowd=300,
    idle_s=3.0,
    replicas=(1,),
    long_burst=0,
    burden_s=2.0,
    growth=None,
)


def plan_for(*, is_quick: bool, leads: int | None) -> Plan:
    """Return the plan; ``leads`` is the size of a burst, for all bursts alike."""
    plan = QUICK if is_quick else FULL
    return plan if leads is None else replace(plan, leads=leads)
