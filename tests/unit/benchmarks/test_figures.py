"""What is told of many measurements."""

import pytest

from benchmarks.figures import middle_spread, percentile, spread_of


@pytest.mark.parametrize(("percent", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0), (0, 1.0)])
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], percent) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == 7.0


def test_spread_does_not_depend_on_the_order_of_the_values() -> None:
    spread = spread_of([3.0, 1.0, 2.0])
    assert (spread.least, spread.p50, spread.most, spread.count) == (1.0, 2.0, 3.0, 3)


def test_middle_spread_keeps_the_extremes_and_takes_medians_of_the_rest() -> None:
    spread = middle_spread([spread_of([1.0, 2.0, 9.0]), spread_of([3.0, 4.0, 5.0]), spread_of([5.0, 6.0, 7.0])])
    assert (spread.least, spread.p50, spread.p99, spread.most, spread.count) == (1.0, 4.0, 7.0, 9.0, 9)
