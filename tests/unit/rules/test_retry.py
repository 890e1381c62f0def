"""A retry policy is read from a step, with defaults that give way and numbers that are bounded."""

from datetime import timedelta

import pytest
from bson import Int64

from config.error import WorkflowError
from rules.retry import RetryPolicy, parse_retry


def test_false_means_a_single_attempt() -> None:
    assert parse_retry(False).max_attempts == 1


def test_an_empty_object_means_the_defaults() -> None:
    assert parse_retry({}) == RetryPolicy()


@pytest.mark.parametrize("number", [Int64(3), 3.0])
def test_every_number_can_be_given(number: float) -> None:
    raw = {"max_attempts": number, "initial": "5s", "maximum": 600, "multiplier": 3, "jitter": 0}
    expected = RetryPolicy(3, timedelta(seconds=5), timedelta(minutes=10), 3.0, timedelta())
    assert parse_retry(raw) == expected


def test_what_is_not_given_is_as_in_the_default() -> None:
    default = RetryPolicy(max_attempts=18, maximum=timedelta(minutes=10))
    assert parse_retry({"initial": "1m"}, default=default) == RetryPolicy(
        18, timedelta(minutes=1), timedelta(minutes=10)
    )


def test_a_longer_initial_wait_raises_the_default_maximum() -> None:
    assert parse_retry({"initial": "2h"}).maximum == timedelta(hours=2)


def test_a_shorter_maximum_lowers_the_default_initial_wait() -> None:
    assert parse_retry({"maximum": "3s"}).initial == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (True, "retry: expected an object or false, found true"),
        (None, "retry: expected an object or false, found null"),
        ([], "retry: expected an object or false, found an empty list"),
        ({"max_atempts": 3}, "retry.max_atempts: unknown key (did you mean 'max_attempts'?)"),
        ({"max_attempts": 0}, "retry.max_attempts: expected an integer from 1 to 100, found 0"),
        ({"max_attempts": True}, "retry.max_attempts: expected an integer from 1 to 100, found true"),
        ({"max_attempts": "3"}, "retry.max_attempts: expected an integer from 1 to 100, found '3'"),
        ({"multiplier": 0.5}, "retry.multiplier: expected a number from 1 to 100, found 0.5"),
        ({"multiplier": float("nan")}, "retry.multiplier: expected a number from 1 to 100, found NaN"),
        ({"initial": "soon"}, "retry.initial: expected a number of seconds"),
        ({"initial": None}, "retry.initial: expected a number of seconds"),
        ({"initial": "1h", "maximum": "1m"}, "retry.maximum: expected at least initial, 1h; found 1m"),
        (
            {"max_attempts": 0, "jitter": -1, "x": 1},
            "retry.max_attempts: expected an integer from 1 to 100, found 0 (and 2 more)",
        ),
    ],
)
def test_a_wrong_policy_is_refused_with_its_path(raw: object, message: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        parse_retry(raw)
    assert str(refused.value).startswith(message)
