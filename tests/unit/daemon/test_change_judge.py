"""Workflows that are costly to judge leave the others, and the leads behind, what those need (promise 8)."""

from typing import Any, Final

import bson

from daemon.mongo.heavy import opened
from daemon.stream.change_judge import FEW_STEPS, MOST_STEPS_OF_CHANGE, ChangeJudge, CostlyWorkflows
from rules.budget import MOST_STEPS
from rules.change import Change
from rules.explain import Reason, Refusal
from rules.workflow import Workflow, WorkflowStatus
from tests.support.bench import TASK, created
from tests.support.change import a_creation, parsed

ARRAY: Final = list(range(20_000))
SCANS: Final = [{"field": "a", "operator": "not_equals", "value": -n} for n in range(1, 101)]  # 20,000 steps each
MANY: Final = 17


def workflow(workflow_id: str, conditions: list[dict[str, Any]], version: int = 1) -> Workflow:
    document = {"name": workflow_id, "trigger": created(), "conditions": conditions, "actions": [TASK]}
    return parsed(workflow_id, version, document)


COSTLY: Final = [workflow(f"costly {n}", SCANS) for n in range(MANY)]


def refusals(costly: CostlyWorkflows, change: Change, workflows: list[Workflow]) -> list[Refusal]:
    """Return the refusals of those workflows for which judging a change was too costly."""
    judge = ChangeJudge(change, costly, max_depth=5)
    verdicts = [judge.judge(each, WorkflowStatus.ACTIVE) for each in workflows]
    return [each for each in verdicts if isinstance(each, Refusal) and each.reason is Reason.TOO_COSTLY]


def limits(found: list[Refusal]) -> list[int]:
    return [int(str((each.detail or {})["limit"]).partition(" ")[0].replace(",", "")) for each in found]


def test_what_is_left_of_a_change_is_enough_for_most_workflows() -> None:
    costly = CostlyWorkflows()
    found = refusals(costly, a_creation({"a": ARRAY}), COSTLY)
    assert len(found) == MANY
    assert limits(found)[0] == MOST_STEPS
    assert FEW_STEPS <= limits(found)[-1] < MOST_STEPS // 10
    assert "other workflows" in (found[-1].detail or {})["limit"]


def test_workflows_that_were_too_costly_share_few_steps_and_have_all_of_them_in_turn() -> None:
    costly = CostlyWorkflows()
    for _ in range(2):
        refusals(costly, a_creation({"a": ARRAY}), COSTLY)
    had_all: set[Any] = set()
    for _ in range(MANY):
        found = refusals(costly, a_creation({"a": ARRAY}), COSTLY)
        assert len(found) == MANY
        assert sum(limits(found)) < 3 * MOST_STEPS
        had_all |= {each.workflow_id for each, limit in zip(found, limits(found), strict=True) if limit == MOST_STEPS}
    assert len(had_all) == MANY


def test_a_workflow_that_is_costly_alone_always_has_all_steps() -> None:
    costly = CostlyWorkflows()
    for _ in range(3):
        assert limits(refusals(costly, a_creation({"a": ARRAY}), COSTLY[:1])) == [MOST_STEPS]


def test_one_costly_lead_refuses_no_other_lead_of_the_same_workflows() -> None:
    costly = CostlyWorkflows()
    ordinary = [workflow(str(n), [*SCANS, {"field": "b", "operator": "equals", "value": 1}]) for n in range(MANY)]
    assert len(refusals(costly, a_creation({"a": ARRAY}), ordinary)) == MANY
    for _ in range(3):
        assert refusals(costly, a_creation({"a": [1, 2], "b": 1}), ordinary) == []


def test_a_workflow_whose_turn_shows_that_it_is_not_costly_counts_as_any_other_again() -> None:
    costly = CostlyWorkflows()
    for _ in range(2):
        refusals(costly, a_creation({"a": ARRAY}), COSTLY)
    for _ in range(2 * MANY):
        refusals(costly, a_creation({"a": 1}), COSTLY)
    assert limits(refusals(costly, a_creation({"a": ARRAY}), COSTLY))[:5] == [MOST_STEPS] * 5


def test_an_edit_gives_a_workflow_all_steps_again_and_a_deleted_one_takes_no_turns() -> None:
    costly = CostlyWorkflows()
    few = COSTLY[:3]
    refusals(costly, a_creation({"a": ARRAY}), few)
    edited = workflow("costly 0", SCANS, version=2)
    assert limits(refusals(costly, a_creation({"a": ARRAY}), [edited])) == [MOST_STEPS]

    for name in ("costly 0", "costly 1"):
        costly.forget(name)
    assert limits(refusals(costly, a_creation({"a": ARRAY}), [few[2]])) == [MOST_STEPS]


def test_what_is_decoded_and_what_is_said_of_refusals_counts_with_the_change() -> None:
    costly = CostlyWorkflows()
    heavy = opened(bson.encode({"a": [f"text {n}" for n in range(30_000)]}))
    asking = [workflow(str(n), [{"field": "a", "operator": "contains", "value": "x"}]) for n in range(MANY)]
    assert limits(refusals(costly, a_creation(heavy), asking))[-1] == FEW_STEPS

    scan = [{"field": "a", "operator": "equals", "value": -1}]
    costly = CostlyWorkflows()
    many = [workflow(str(n), scan) for n in range(2 * MOST_STEPS_OF_CHANGE // len(ARRAY))]
    told = len(many) - len(refusals(costly, a_creation({"a": ARRAY}), many))
    assert told < MOST_STEPS_OF_CHANGE // len(ARRAY)
