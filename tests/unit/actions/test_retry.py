"""The delays between attempts."""

from datetime import timedelta

import pytest

from actions.registry import parse_action
from actions.retry import LONGEST_POSTPONEMENT, delay_before, postponement
from rules.retry import DEFAULT_POLICY, OUTSIDE_POLICY, RetryPolicy

EXACT = RetryPolicy(initial=timedelta(seconds=10), maximum=timedelta(minutes=5), multiplier=3, jitter=timedelta())


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(2, 10), (3, 30), (4, 90), (5, 270), (6, 300), (100, 300), (100_000, 300)]
)
def test_delay_grows_by_the_multiplier_up_to_the_maximum(attempt: int, seconds: int) -> None:
    assert delay_before(EXACT, attempt) == timedelta(seconds=seconds)


def test_jitter_is_added_and_never_exceeds_the_maximum() -> None:
    policy = RetryPolicy(initial=timedelta(seconds=10), maximum=timedelta(seconds=14), jitter=timedelta(seconds=8))

    delays = {delay_before(policy, 2) for _ in range(200)}

    assert len(delays) > 1
    assert all(timedelta(seconds=10) <= delay <= timedelta(seconds=14) for delay in delays)


def test_one_second_of_initial_delay_raises_no_warning() -> None:
    policy = RetryPolicy(initial=timedelta(seconds=1), jitter=timedelta())

    assert delay_before(policy, 3) == timedelta(seconds=2)


def test_what_reaches_outside_is_tried_for_about_two_hours_and_some_minutes_apart() -> None:
    policy = parse_action("send_email", {"template": "x"}, "").default_retry
    delays = [delay_before(policy, attempt) for attempt in range(2, policy.max_attempts + 1)]

    assert policy == OUTSIDE_POLICY
    assert timedelta(minutes=115) <= sum(delays, timedelta()) <= timedelta(minutes=125)
    assert max(delays) == timedelta(minutes=10)
    assert sum(delays[:5], timedelta()) >= timedelta(seconds=300)  # greylisting: try again in 300 s


@pytest.mark.parametrize(
    ("asked_s", "times", "seconds"),
    [(60, 1, 60), (5, 1, 10), (5, 2, 30), (-9, 100_000, 300), (1e9, 1, LONGEST_POSTPONEMENT.total_seconds())],
)
def test_a_postponed_step_comes_no_sooner_than_asked_or_retried_and_within_an_hour(
    asked_s: float, times: int, seconds: float
) -> None:
    assert postponement(EXACT, timedelta(seconds=asked_s), times) == timedelta(seconds=seconds)


def test_a_postponed_step_never_comes_back_at_once() -> None:
    hasty = RetryPolicy(initial=timedelta(), maximum=timedelta(), jitter=timedelta())
    assert postponement(hasty, timedelta(), 1) == timedelta(seconds=1)


def test_what_stays_in_mongodb_keeps_its_five_attempts() -> None:
    assert parse_action("create_task", {}, "").default_retry == DEFAULT_POLICY == RetryPolicy(max_attempts=5)
