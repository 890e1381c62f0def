"""How stored values read on a page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from daemon.api.dashboard.presentation import as_json, bars, brief, exact, machine, relative, span

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0 ms"),
        (0.0204, "20 ms"),
        (-1, "0 ms"),
        (1, "1 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (timedelta(days=2, hours=3, minutes=50), "2 d 3 h"),
        (None, ""),
        ("5m", "5m"),
    ],
)
def test_a_duration_is_told_by_its_two_largest_units(length: Any, text: str) -> None:
    assert span(length) == text


@pytest.mark.parametrize(
    ("away", "text"),
    [(timedelta(minutes=-3), "3 min ago"), (timedelta(hours=2), "in 2 h"), (timedelta(milliseconds=200), "now")],
)
def test_an_instant_is_told_from_now(away: timedelta, text: str) -> None:
    assert relative(NOW + away, NOW) == text


@pytest.mark.parametrize("odd", ["yesterday", 5, ObjectId("0" * 24)])
def test_what_is_no_instant_is_shown_as_it_is(odd: Any) -> None:
    assert (exact(odd), relative(odd, NOW), machine(odd)) == (str(odd), str(odd), "")


def test_an_instant_is_written_in_utc() -> None:
    assert exact(NOW) == "2026-05-04 09:00:00 UTC"


def test_a_bar_has_its_failed_runs_at_the_foot_and_the_fullest_hour_fills_the_height() -> None:
    hours = [{"runs": 0, "failed": 0}, {"runs": 4, "failed": 1}, {"runs": 2, "failed": 2}]
    drawn = [(bar["x"], bar["y"], bar["height"], bar["is_failed"]) for bar in bars(hours)]
    assert drawn == [(5, 18.0, 6.0, True), (5, 0.0, 18.0, False), (10, 12.0, 12.0, True)]


def test_few_runs_beside_many_are_still_seen() -> None:
    assert bars([{"runs": 100_000, "failed": 0}, {"runs": 1, "failed": 0}])[1]["height"] == 1.5


def test_long_values_are_cut() -> None:
    assert len(brief("x" * 1000)) == 201
    assert as_json({"long": "x" * 50_000}).endswith("characters)")
