"""From a step's parameters to an action, and what is said of wrong ones."""

from typing import Any

import pytest

from actions.registry import parse_action
from config.error import WorkflowError


def problem_of(action_type: Any, parameters: dict[str, Any]) -> str:
    with pytest.raises(WorkflowError) as caught:
        parse_action(action_type, parameters, "actions[2]")
    return str(caught.value)


def test_unknown_type_names_the_nearest_and_all_known_ones() -> None:
    problem = problem_of("creat_task", {})

    assert problem.startswith("actions[2].type: expected one of ")
    assert "send_notification" in problem
    assert "(did you mean 'create_task'?)" in problem


@pytest.mark.parametrize("action_type", [None, 5, [], {"$gt": ""}, "", "\0"])
def test_type_of_any_shape_is_a_workflow_error(action_type: Any) -> None:
    assert problem_of(action_type, {}).startswith("actions[2].type: expected one of ")


def test_unknown_parameter_names_the_nearest_known_one() -> None:
    problem = problem_of("create_task", {"titel": "Call"})

    assert problem.startswith("actions[2].titel: unknown key (did you mean 'title'?); known here: title, ")


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"title": 5}, "actions[2].title: expected input to be a valid string, found 5"),
        ({"title": ""}, "actions[2].title: expected string to have at least 1 character, found ''"),
        (
            {"priority": "highest"},
            "actions[2].priority: expected 'low', 'medium', 'high' or 'urgent', found 'highest'",
        ),
        ({"assignee": True}, "actions[2].assignee: expected a string, an integer or an ObjectId, found true"),
        (
            {"title": ["a"] * 9999},
            "actions[2].title: expected input to be a valid string, found the list ['a', 'a', 'a', …]",
        ),
    ],
)
def test_problem_says_where_what_was_expected_and_what_was_found(parameters: dict[str, Any], problem: str) -> None:
    assert problem_of("create_task", parameters) == problem


def test_bad_duration_keeps_the_path_of_the_parameter() -> None:
    assert problem_of("create_task", {"due_in": "soon"}).startswith("actions[2].due_in: expected ")


def test_problem_tells_how_many_more_there_are() -> None:
    assert problem_of("create_task", {"title": 1, "priority": 2, "colour": 3}).endswith(" (and 2 more)")


def test_found_values_are_cut() -> None:
    assert len(problem_of("create_task", {"title": "x" * 5_000_000})) < 300
