"""Durations are read strictly, refused with their path, and written back as they were."""

from datetime import timedelta

import pytest
from bson import Decimal128, Int64
from hypothesis import given
from hypothesis import strategies as st

from config.duration import LONGEST, duration_text, parse_duration
from config.error import WorkflowError


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (0, 0),
        (300, 300),
        (1.5, 1.5),
        (Int64(60), 60),
        ("0", 0),
        ("300", 300),
        ("90s", 90),
        ("5m", 300),
        ("2h", 7_200),
        ("3d", 259_200),
        ("1w", 604_800),
        ("1h30m", 5_400),
        ("1w2d3h4m5s", 788_645),
        ("3650d", 315_360_000),
    ],
)
def test_numbers_are_seconds_and_texts_have_units(raw: object, seconds: float) -> None:
    assert parse_duration(raw, "delay") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        True,
        -1,
        -0.5,
        float("nan"),
        "",
        "m",
        "5 m",
        "5M",
        "-5m",
        "1.5h",
        "²m",
        "1m30h",
        "5m5m",
        "5y",
        Decimal128("5"),
        [5],
        {"m": 5},
    ],
)
def test_what_is_no_duration_is_refused_with_its_path(raw: object) -> None:
    with pytest.raises(
        WorkflowError, match=r"^actions\[1\]\.delay: expected a number of seconds .*, found "
    ) as refused:
        parse_duration(raw, "actions[1].delay")
    assert refused.value.path == "actions[1].delay"


@pytest.mark.parametrize(
    "raw", [315_360_001, float("inf"), pytest.param(10**5000, id="huge"), "3651d", "999999999999w"]
)
def test_more_than_ten_years_is_refused_naming_the_limit(raw: object) -> None:
    with pytest.raises(WorkflowError, match="at most 10 years"):
        parse_duration(raw, "delay")


def test_what_was_found_is_cut_short() -> None:
    with pytest.raises(WorkflowError) as refused:
        parse_duration("x" * 5_000_000, "delay")
    assert len(refused.value.problem) < 250


@given(st.integers(min_value=0, max_value=int(LONGEST.total_seconds())))
def test_a_duration_written_out_is_read_back_the_same(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(duration_text(duration), "delay") == duration
