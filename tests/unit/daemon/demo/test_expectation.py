"""The comparison at the end of the demo: anything but exactly what was expected is a difference."""

from collections import Counter

import pytest

from daemon.demo.expectation import Expectation
from daemon.demo.history import History, NotRun, Run

TASK, NOTIFICATION = "create_task success", "send_notification success"
CALLED = Run("Call leads", "Ana", "completed", (TASK,))
TOLD = Run("Tell the owner", "Roof", "completed", (NOTIFICATION,))


def history_of(*runs: Run, not_run: tuple[NotRun, ...] = (), tasks: int = 1, notifications: int = 1) -> History:
    return History(runs, Counter(not_run), {"tasks": tasks, "notifications": notifications})


@pytest.fixture
def expected() -> Expectation:
    expectation = Expectation()
    expectation.run("Call leads", "Ana", TASK)
    expectation.run("Tell the owner", "Roof", NOTIFICATION)
    return expectation


def test_exactly_the_expected_executions_are_no_difference_in_whatever_order(expected: Expectation) -> None:
    assert expected.differences(history_of(TOLD, CALLED)) == []


def test_a_missing_execution_is_a_difference(expected: Expectation) -> None:
    assert expected.differences(history_of(CALLED, notifications=0)) == [f"missing: {TOLD}"]


def test_an_execution_that_nobody_expected_is_a_difference(expected: Expectation) -> None:
    other = Run("Call leads", "Bo", "completed", ())
    assert expected.differences(history_of(CALLED, TOLD, other)) == [f"not expected: {other}"]


def test_an_execution_that_ran_twice_is_a_difference(expected: Expectation) -> None:
    assert expected.differences(history_of(CALLED, CALLED, TOLD, tasks=2)) == [f"not expected: {CALLED}"]


def test_an_execution_that_ended_otherwise_is_a_difference(expected: Expectation) -> None:
    failed = Run("Tell the owner", "Roof", "failed", ("send_notification failed",))
    differences = expected.differences(history_of(CALLED, failed, notifications=0))
    assert differences == [f"missing: {TOLD}", f"not expected: {failed}"]


def test_a_refusal_that_was_not_stored_is_a_difference(expected: Expectation) -> None:
    expected.refusal("Call leads", "Carla", "condition_not_met")
    stored = (NotRun("Call leads", "Carla", "paused"),)
    differences = expected.differences(history_of(CALLED, TOLD, not_run=stored))
    assert differences == ["missing: Call leads for Carla: not run, condition_not_met"]


def test_refusals_besides_the_expected_ones_are_no_difference(expected: Expectation) -> None:
    stored = (NotRun("Call leads", "Carla", "condition_not_met"),)
    assert expected.differences(history_of(CALLED, TOLD, not_run=stored)) == []


def test_an_effect_that_exists_twice_is_a_difference(expected: Expectation) -> None:
    differences = expected.differences(history_of(CALLED, TOLD, tasks=2))
    assert differences == ["tasks: expected 1, one for each step that made one, found 2"]


def test_a_claim_that_was_not_so_is_a_difference(expected: Expectation) -> None:
    expected.that("the request is accepted, found refused", is_so=False)
    differences = expected.differences(history_of(CALLED, TOLD))
    assert differences == ["expected that the request is accepted, found refused"]
