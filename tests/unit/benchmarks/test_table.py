"""The table that people read."""

from dataclasses import asdict

import pytest

from benchmarks.burst import BurstRun
from benchmarks.figures import spread_of
from benchmarks.growth import Growth
from benchmarks.matching import MatchingRun
from benchmarks.plan import QUICK, plan_for
from benchmarks.results import BurstResult, Results, SpreadResult
from benchmarks.sweeping import SweepRun
from benchmarks.table import markdown


def _run(rate: float) -> BurstRun:
    return BurstRun(rate, rate, 80.0, 70.0, 60.0, 70.0)


def _results() -> Results:
    return Results({"cores": 2}, asdict(QUICK))


def test_ratio_compares_medians_over_repetitions() -> None:
    results = _results()
    runs = [_run(rate) for rate in (1_000.0, 8_000.0, 4_000.0)]
    results.bursts.append(BurstResult("W1", 100, runs, {"bound": [_run(5_000.0)]}))
    assert "| W1 | bound | 5,000 | 5,000 | **0.80** |" in markdown(results)


def test_no_ratio_is_told_to_a_bound_below_the_resolution_of_the_clock() -> None:
    result = SpreadResult("W2", [spread_of([3.0])], [spread_of([0.0])])
    assert result.ratios() == (None, None)


def test_parts_that_were_not_measured_leave_no_table() -> None:
    assert "standing costs" not in markdown(_results())


@pytest.mark.parametrize(("leads", "expected"), [(None, QUICK.leads), (700, 700)])
def test_the_size_of_a_burst_may_be_asked_for(leads: int | None, expected: int) -> None:
    assert plan_for(is_quick=True, leads=leads).leads == expected


def test_growth_is_told_size_by_size() -> None:
    results = _results()
    sweeps = [SweepRun(200_000, 6_000.0, 10_000.0, 80.0, 84.0, 15.0, 14.0, "")]
    matching = [MatchingRun(count, 0.8, 90.0, 3_000.0, 144.0, 24.0, 6.5) for count in (10, 10_000)]
    results.growth = Growth(matching=matching, sweeps=sweeps)
    text = markdown(results)
    assert "| 10,000 | 3,000 | 144 | 0.8 | 90 | 24 | 6.5 |" in text
    assert "| 200,000 | 6,000 | 10,000 | **0.60** | 80 → 84 | 15 |" in text
