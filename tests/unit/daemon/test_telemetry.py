"""No event floods the log, and what was left out is told."""

from config.line_budget import LineBudget
from daemon.event import Event
from daemon.telemetry import EventBudget


def test_an_event_is_written_a_limited_number_of_times_a_second() -> None:
    budget = EventBudget(LineBudget(), 3)
    assert [budget.take(Event.EXECUTION_COMPLETED, 10.0)[0] for _ in range(5)] == [True, True, True, False, False]


def test_what_was_left_out_is_told_once_the_second_is_over() -> None:
    budget = EventBudget(LineBudget(), 3)
    for _ in range(5):
        budget.take(Event.EXECUTION_COMPLETED, 10.0)
    assert budget.take(Event.STATUS, 11.0) == (True, {Event.EXECUTION_COMPLETED: 2})
    assert budget.take(Event.STATUS, 11.5) == (True, {})


def test_events_do_not_use_up_one_anothers_lines() -> None:
    budget = EventBudget(LineBudget(), 1)
    budget.take(Event.EXECUTION_COMPLETED, 10.0)
    assert budget.take(Event.EXECUTION_FAILED, 10.0)[0]


def test_errors_are_always_written() -> None:
    budget = EventBudget(LineBudget(), 1)
    assert all(budget.take(Event.SERVICE_FAILED, 10.0)[0] for _ in range(3))


def test_the_audit_of_changes_is_always_written() -> None:
    budget = EventBudget(LineBudget(), 1)
    assert all(budget.take(Event.API_CHANGED, 10.0)[0] for _ in range(3))
    assert budget.take(Event.STATUS, 11.0) == (True, {})


def test_what_is_tried_again_is_told_once_a_second_for_each_thing_that_is_tried() -> None:
    budget = EventBudget(LineBudget(), 50)
    times = [10.9, 11.0, 11.8, 11.9, 12.0]
    assert [budget.take(Event.STORE_UNAVAILABLE, now, "a look")[0] for now in times] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert budget.take(Event.STORE_UNAVAILABLE, 12.0, "a commit") == (True, {})
