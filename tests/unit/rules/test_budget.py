"""Judging, explaining and reading patterns end within their budget, whatever is judged (promise 8)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from bson import Decimal128

from config.error import WorkflowError
from rules.budget import MOST_STEPS
from rules.explain import Reason, Refusal, finding_document
from rules.judgement import judge
from rules.workflow import Workflow, WorkflowStatus
from tests.support.bench import created, updated
from tests.support.change import a_creation, a_workflow, an_update, parsed

LONGEST_S: Final = 0.05  # that the event loop may stand still


def condition(operator: str, value: Any, field: str = "a") -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def measured(work: Callable[[], Any]) -> Any:
    """Return what ``work`` returns; it must not take longer than the loop may stand still."""
    began = time.thread_time()
    found = work()
    assert time.thread_time() - began < LONGEST_S
    return found


def judged(workflow: Workflow, change: Any) -> Any:
    return measured(lambda: judge(workflow, WorkflowStatus.ACTIVE, change, 5))


def nested(depth: int) -> list[Any]:
    array: list[Any] = [1]
    for _ in range(depth):
        array = [{"0": array}]
    return array


@pytest.mark.parametrize(
    ("conditions", "value"),
    [
        ([condition("matches", "[^z]{999}z")], "a" * 32_768),
        ([condition("matches", r"(?:(?:(?:[^\x00]?){10}){10}){10}z")], "😀" * 32_000),
        ([condition("not_equals", -n) for n in range(1, 101)], list(range(200_000))),
        ([condition("equals", Decimal128("1.5"))], list(range(200_000))),
        ([condition("greater_than", Decimal128("1E-6176"))], [5e-324] * 200_000),
        ([condition("in", [{"b": n} for n in range(1_000)])], [{"b": -1}] * 10_000),
        ([condition("not_contains", "x" * 50 + "y")] * 900, "x" * 29_000),
        ([condition("contains", "y")], "x" * 16_000_000),
        ([condition("contains", "y", "a.b")], [{"b": ["x"]}] * 100_000),
        ([condition("equals", 1, "a.b")], [[]] * 200_000),
        ([condition("in", list(range(1_000)), "a_days_ago")], [datetime(2020, 1, 1, tzinfo=UTC)] * 10_000),
        ([condition("not_equals", -1, "a" + ".0" * n) for n in range(20, 99)], nested(44)),
    ],
)
def test_a_judgement_that_would_take_too_long_is_refused_with_its_limit_and_condition(
    conditions: list[dict[str, Any]], value: Any
) -> None:
    verdict = judged(a_workflow(created(), conditions=conditions), a_creation({"a": value}))
    assert isinstance(verdict, Refusal)
    assert verdict.reason == Reason.TOO_COSTLY
    assert verdict.detail is not None
    assert verdict.detail["condition"].startswith("conditions[")
    assert verdict.detail["limit"] == f"{MOST_STEPS:,} steps"


def test_the_condition_at_fault_is_told_however_deep_it_stands() -> None:
    cheap, costly = condition("equals", 1, "b"), condition("equals", -1)
    workflow = a_workflow(created(), conditions=[{"any": [{"all": [cheap]}, {"none": [cheap, costly]}]}])
    verdict = judged(workflow, a_creation({"a": list(range(300_000))}))
    assert verdict.detail["condition"] == "conditions[0].any[1].none[1]"


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        (condition("equals", 99_999), list(range(100_000))),
        (condition("contains", "end"), "x" * 1_000_000 + "end"),
        (condition("matches", "[0-9]{3}-[0-9]{4}"), "x" * 32_000 + "555-1234"),
        (condition("equals", 1, "a" + ".0" * 40), nested(20)),
        (condition("equals", [*range(10_000), 5]), [*range(10_000), 5]),
    ],
)
def test_what_is_large_and_not_too_costly_is_judged(asked: dict[str, Any], value: Any) -> None:
    assert judged(a_workflow(created(), conditions=[asked]), a_creation({"a": value})) is None


def test_a_costly_comparison_of_images_refuses_the_workflows_that_ask_for_it_only() -> None:
    before, after = ({"a": list(range(300_000)), "b": n} for n in (1, 2))
    change = an_update(before, after, None)
    verdict = judged(a_workflow(updated("a")), change)
    assert (verdict.reason, verdict.detail["condition"]) == (Reason.TOO_COSTLY, "trigger")
    assert judged(a_workflow(updated("b")), change) is None


def test_a_refusal_shows_large_values_at_the_cost_of_small_ones() -> None:
    value = {"deep": [{"x": "y" * 100}] * 100_000, "text": "x" * 10_000_000}
    conditions = [condition("equals", 1, field) for field in ("a", "a.deep", "a.text", "a.deep.x")]
    verdict = judged(a_workflow(created(), conditions=[{"any": conditions}]), a_creation({"a": value}))
    assert verdict.reason in (Reason.CONDITION, Reason.TOO_COSTLY)
    measured(lambda: [finding_document(finding) for finding in verdict.findings])


def test_of_many_conditions_that_are_not_met_only_what_is_stored_is_found() -> None:
    workflow = a_workflow(created(), conditions=[condition("equals", n) for n in range(1, 900)])
    assert len(judged(workflow, a_creation({"a": 0})).findings) == 10
    assert judge(workflow, WorkflowStatus.ACTIVE, a_creation({"a": 0}), 5, explains=False).findings == ()  # type: ignore[union-attr]


def with_patterns(patterns: list[str], *, in_steps: bool = False) -> dict[str, Any]:
    """Return a workflow document with these patterns, in its conditions or each in a step of its own."""
    conditions = [condition("matches", pattern) for pattern in patterns]
    step = {"type": "create_task", "title": "Call"}
    if in_steps:
        return {"name": "w", "trigger": created(), "actions": [{**step, "conditions": [each]} for each in conditions]}
    return {"name": "w", "trigger": created(), "conditions": conditions, "actions": [step]}


@pytest.mark.parametrize(
    ("document", "limit"),
    [
        (with_patterns([rf"{n}\pL{{50}}" for n in range(1_000)]), "at most 10,000 instructions"),
        (with_patterns([rf"{n}\pL{{50}}" for n in range(100)], in_steps=True), "10,000 instructions"),
        (with_patterns([rf"{n}[^z]{{900}}" for n in range(100)]), "at most 50,000 instructions in all"),
        (with_patterns([rf"{n}[^z]{{900}}" for n in range(100)], in_steps=True), "at most 50,000 instructions in all"),
        (with_patterns([r"\pL" * 300]), "at most 20 classes"),
    ],
)
def test_patterns_that_would_be_large_are_refused_before_they_are(document: dict[str, Any], limit: str) -> None:
    def read() -> str:
        with pytest.raises(WorkflowError) as refused:
            parsed("w", 1, document)
        assert ".value" in refused.value.path
        return refused.value.problem

    assert limit in measured(read)


def test_equal_patterns_count_once() -> None:
    assert parsed("w", 1, with_patterns([r"[^z]{900}"] * 100)).conditions.count == 100
