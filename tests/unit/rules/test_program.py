"""A definition becomes nodes with stable ids; what is wrong with it is named with its place in the tree."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from config.error import WorkflowError
from rules.pattern import PatternBudget
from rules.program import NO_PROGRAM, Act, Branch, End, Program, outline, parse_program
from rules.step import OnFailure
from rules.tree import DEEPEST, check_tree, is_node, node_of, number_of

TASK = {"type": "create_task"}
HOT = [{"field": "score", "operator": "greater_than", "value": 80}]
LATE = {**TASK, "delay": "2d"}


def action_of(action_type: str, parameters: Mapping[str, Any], path: str) -> object:
    return action_type, dict(parameters)


def compiled(*actions: Any) -> Program:
    return parse_program(list(actions), action_of, PatternBudget())


def branch(*arms: list[Any], otherwise: Any = None, **more: Any) -> dict[str, Any]:
    cases = [{"conditions": HOT, "actions": arm} for arm in arms]
    own = {} if otherwise is None else {"otherwise": otherwise}
    return {"type": "branch", "cases": cases, **own, **more}


def refusal(*actions: Any) -> str:
    with pytest.raises(WorkflowError) as refused:
        compiled(*actions)
    return str(refused.value)


def test_a_list_of_steps_is_a_chain_of_numbers() -> None:
    program = compiled(TASK, TASK)
    assert [(node.id, node.following) for node in program.nodes.values()] == [("0", "1"), ("1", "2")]
    assert (program.first, program.is_linear) == ("0", True)


def test_the_last_step_of_an_arm_is_followed_by_what_follows_its_branch() -> None:
    program = compiled(TASK, branch([TASK, TASK], otherwise=[TASK]), TASK)
    following = {node.id: node.following for node in program.nodes.values()}
    assert following == {
        "0": "1",
        "1": "2",
        "1.cases.0.0": "1.cases.0.1",
        "1.cases.0.1": "2",
        "1.otherwise.0": "2",
        "2": "3",
    }
    assert not program.is_linear


def test_a_branch_knows_where_each_of_its_ways_begins_and_an_empty_one_leads_behind_it() -> None:
    node = compiled(branch([TASK], [], otherwise=[TASK]), TASK).nodes["0"]
    assert isinstance(node, Branch)
    assert node.arms == {"cases.0": "0.cases.0.0", "cases.1": "1", "otherwise": "0.otherwise.0"}
    assert [case.arm for case in node.cases] == ["cases.0", "cases.1"]


def test_without_otherwise_nothing_is_done() -> None:
    node = compiled(branch([TASK]), TASK).nodes["0"]
    assert isinstance(node, Branch)
    assert node.arms["otherwise"] == "1"


def test_a_branch_within_an_arm_leads_out_of_both() -> None:
    program = compiled(branch([branch([TASK])]), TASK)
    assert program.nodes["0.cases.0.0.cases.0.0"].following == "1"


def test_every_kind_of_node_is_read() -> None:
    program = compiled(
        branch([{**TASK, "title": "Call"}], delay="1h", on_failure="stop"), {"type": "end", "reason": "x"}
    )
    task, split, end = program.nodes["0.cases.0.0"], program.nodes["0"], program.nodes["1"]
    assert isinstance(task, Act)
    assert task.step.action == ("create_task", {"title": "Call"})
    assert isinstance(split, Branch)
    assert (split.delay, split.on_failure) == (timedelta(hours=1), OnFailure.STOP)
    assert isinstance(end, End)
    assert end.reason == "x"
    assert [step.action_type for step in program.steps] == ["create_task"]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (
            [TASK, TASK, branch([TASK, {**TASK, "delay": "soon"}])],
            "actions[2].cases[0].actions[1].delay: expected a number of seconds",
        ),
        ([branch(otherwise=[{"type": ""}])], "actions[0].cases: expected a list of at least one case"),
        ([branch([TASK], otherwise=["x"])], "actions[0].otherwise[0]: expected an object, found 'x'"),
        ([branch([TASK], otherwise={})], "actions[0].otherwise: expected a list of steps"),
        ([{"type": "branch"}], "actions[0].cases: expected a list of at least one case, found nothing"),
        ([branch([TASK], case=[])], "actions[0].case: unknown key (did you mean 'cases'?)"),
        ([branch([TASK], conditions=HOT)], "actions[0].conditions: unknown key"),
        ([branch([TASK], on_failure="halt")], "actions[0].on_failure: expected one of continue, stop"),
        ([{"type": "branch", "cases": [7]}], "actions[0].cases[0]: expected an object, found 7"),
        ([{"type": "branch", "cases": [{"conditions": HOT}]}], "actions[0].cases[0].actions: expected a list of steps"),
        ([{"type": "branch", "cases": [{"actions": []}]}], "actions[0].cases[0].conditions: expected a list of cond"),
        (
            [{"type": "branch", "cases": [{"conditions": [{"field": "a", "operator": "changed"}], "actions": []}]}],
            "actions[0].cases[0].conditions[0].operator: ",
        ),
        (
            [{"type": "branch", "cases": [{"name": None, "conditions": [], "actions": []}]}],
            "actions[0].cases[0].name: expected a text of 1 to 200 characters, found null",
        ),
        ([{"type": "end"}], "actions[0].reason: expected a text of 1 to 200 characters, found nothing"),
        ([{"type": "end", "reason": " "}], "actions[0].reason: expected a text of 1 to 200 characters"),
        ([{"type": "end", "reason": "x", "delay": 5}], "actions[0].delay: unknown key"),
        ([], "actions: expected a list of at least one action, found an empty list"),
        (None, "actions: expected a list of at least one action, found nothing"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_in_the_tree(actions: Any, message: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        parse_program(actions, action_of, PatternBudget())
    assert str(refused.value).startswith(message)


def nested(levels: int) -> dict[str, Any]:
    step: dict[str, Any] = TASK
    for _ in range(levels - 1):
        step = branch([step])
    return step


def test_steps_may_be_five_levels_deep_and_no_deeper() -> None:
    check_tree([nested(DEEPEST)])
    with pytest.raises(WorkflowError) as refused:
        check_tree([TASK, nested(DEEPEST + 1)])
    path = "actions[1]" + ".cases[0].actions[0]" * DEEPEST
    assert str(refused.value) == f"{path}: expected steps at most 5 levels deep, found more"


def test_steps_are_counted_over_all_arms_together() -> None:
    check_tree([branch([TASK] * 99, otherwise=[TASK] * 100)])
    with pytest.raises(WorkflowError) as refused:
        check_tree([branch([TASK] * 100, otherwise=[TASK] * 100)])
    expected = "actions[0].otherwise[99]: expected at most 200 steps in a workflow, found more"
    assert str(refused.value) == expected


def test_an_outline_has_the_order_and_the_delays_and_asks_for_no_known_action() -> None:
    stored = [{"type": "of_tomorrow", "delay": "5m", "knob": 1}, branch([LATE]), TASK]
    program = outline(stored)
    assert {node.id: node.following for node in program.nodes.values()} == {
        "0": "1",
        "1": "2",
        "1.cases.0.0": "2",
        "2": "3",
    }
    assert program.nodes["0"].delay == timedelta(minutes=5)
    assert program.nodes["1.cases.0.0"].delay == timedelta(days=2)
    assert outline(None).nodes == NO_PROGRAM.nodes


def test_a_node_tells_the_step_of_the_workflow_it_lies_in() -> None:
    assert [number_of(node) for node in ("7", "12.cases.0.3")] == [7, 12]


@pytest.mark.parametrize("text", ["", "x", "-1", "0.cases", "0.cases.0", "1.otherwise.x", "1.5", "0\n", "٣", "1" * 99])
def test_what_cannot_be_a_node_is_told_from_what_can(text: str) -> None:
    assert not is_node(text)
    assert is_node("12.cases.3.0.otherwise.7")


def test_the_step_that_the_version_before_has_moved_is_believed() -> None:
    assert node_of(None, 2) == "2"
    assert node_of("2.cases.0.1", 2) == "2.cases.0.1"
    assert node_of("2", 3) == "3"
