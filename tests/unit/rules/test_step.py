"""A step is read from its own keys; the others are the parameters of its action."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from bson import Int64

from config.error import WorkflowError
from rules.retry import DEFAULT_POLICY, ONE_ATTEMPT
from rules.step import OnFailure, Step, parse_step


def action_of(action_type: str, parameters: Mapping[str, Any], path: str) -> object:
    return action_type, dict(parameters), path


def parsed(raw: object) -> Step:
    return parse_step(raw, "actions[1]", action_of)


def test_a_step_with_a_type_only_gets_the_defaults() -> None:
    step = parsed({"type": "create_task"})
    assert step == Step("create_task", ("create_task", {}, "actions[1]"))
    assert (step.delay, step.timeout) == (timedelta(), timedelta(seconds=30))
    assert (step.on_failure, step.retry, step.conditions) == (OnFailure.CONTINUE, DEFAULT_POLICY, None)


def test_every_key_of_its_own_is_read_and_the_rest_is_handed_on() -> None:
    step = parsed(
        {
            "type": "send_email",
            "delay": Int64(300),
            "conditions": [{"field": "email", "operator": "exists"}],
            "on_failure": "stop",
            "retry": False,
            "timeout": "10m",
            "template": "welcome_email",
            "$odd.key": None,
        }
    )
    assert step.action == ("send_email", {"template": "welcome_email", "$odd.key": None}, "actions[1]")
    assert step.delay == timedelta(minutes=5)
    assert step.conditions is not None
    assert step.conditions.fields == {"email"}
    assert (step.on_failure, step.retry, step.timeout) == (OnFailure.STOP, ONE_ATTEMPT, timedelta(minutes=10))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("create_task", "actions[1]: expected an object, found 'create_task'"),
        ({}, "actions[1].type: expected the type of an action, found nothing"),
        ({"type": ""}, "actions[1].type: expected the type of an action, found ''"),
        ({"type": None}, "actions[1].type: expected the type of an action, found null"),
        ({"type": "a", "delay": "soon"}, "actions[1].delay: expected a number of seconds from 0"),
        ({"type": "a", "delay": None}, "actions[1].delay: expected a number of seconds from 0"),
        ({"type": "a", "on_failure": "halt"}, "actions[1].on_failure: expected one of continue, stop; found 'halt'"),
        (
            {"type": "a", "retry": {"max_attempts": 0}},
            "actions[1].retry.max_attempts: expected an integer from 1 to 100, found 0",
        ),
        (
            {"type": "a", "timeout": 0},
            "actions[1].timeout: expected a duration longer than 0 and at most 10m, found 0s",
        ),
        (
            {"type": "a", "timeout": 601},
            "actions[1].timeout: expected a duration longer than 0 and at most 10m, found 10m1s",
        ),
        (
            {"type": "a", "conditions": {}},
            "actions[1].conditions: expected a list of conditions, found an empty object",
        ),
        ({"type": "a", "conditions": [{"field": "a", "operator": "changed"}]}, "actions[1].conditions[0].operator: "),
        ({"type": "a", "delay": -1, "timeout": -1}, "actions[1].delay: expected a number of seconds from 0"),
    ],
)
def test_a_wrong_step_is_refused_with_its_path(raw: object, message: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        parsed(raw)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("told", "expected"), [("actions[1].title", "actions[1].title"), ("title", "actions[1].title"), ("", "actions[1]")]
)
def test_what_is_wrong_with_an_action_is_told_with_the_place_of_its_step(told: str, expected: str) -> None:
    def refuse(action_type: str, parameters: Mapping[str, Any], path: str) -> object:
        raise WorkflowError(told, "expected better", more=2)

    with pytest.raises(WorkflowError, match="expected better") as refused:
        parse_step({"type": "create_task", "title": 5}, "actions[1]", refuse)
    assert (refused.value.path, refused.value.more) == (expected, 2)
