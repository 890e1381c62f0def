"""Saying how promising a lead is, and the scorecards it is said by."""

import json
from pathlib import Path
from typing import Any

import pytest

from actions.outcome import Done, EntityUpdate
from actions.qualify_lead import QualifyLead
from actions.scorecard import Scorecard, load_scorecard, parse_scorecard
from actions.services import Services
from config.error import ConfigError
from tests.unit.actions.factory import LEAD, NOW, a_context


def a_rule(**changes: Any) -> dict[str, Any]:
    return {
        "field": "source",
        "operator": "equals",
        "value": "website_form",
        "points": 40,
        "reason": "website",
        **changes,
    }


def a_scorecard(*rules: dict[str, Any]) -> Scorecard:
    return parse_scorecard({"rules": list(rules), "grades": {"cold": 0, "hot": 70, "warm": 40}})


async def test_qualification_is_written_to_the_lead_and_told_in_the_result() -> None:
    services = Services(scorecard=a_scorecard(a_rule(), a_rule(field="phone", operator="exists", value=True)))

    outcome = await QualifyLead().run(a_context(LEAD, services=services))

    result = {"score": 40, "grade": "warm", "reasons": [{"reason": "website", "points": 40}]}
    written = {**result, "provider": "scorecard", "qualified_at": NOW}
    assert outcome == Done(result, (EntityUpdate({"qualification": written}),))


@pytest.mark.parametrize(
    ("points", "grade"), [(100, "hot"), (70, "hot"), (69, "warm"), (40, "warm"), (39, "cold"), (0, "cold")]
)
def test_grade_is_the_best_one_that_the_score_reaches(points: int, grade: str) -> None:
    assert a_scorecard(a_rule(points=points)).judge(LEAD, NOW).grade == grade


@pytest.mark.parametrize(("points", "score"), [(80, 100), (-50, 0)])
def test_score_stays_between_0_and_100(points: int, score: int) -> None:
    assert a_scorecard(a_rule(points=points), a_rule(points=points)).judge(LEAD, NOW).score == score


@pytest.mark.parametrize("entity", [{}, {"email": 5, "phone": None, "budget": "much", "job_title": ["x", {"y": 1}]}])
def test_lead_of_any_shape_gets_a_grade(entity: dict[str, Any]) -> None:
    assert load_scorecard().judge(entity, NOW).grade == "D"


def test_shipped_scorecard_prefers_a_decider_with_a_budget() -> None:
    decider = {**LEAD, "phone": "+55 11 98765-4321", "company": "Acme", "job_title": "Diretora de TI", "budget": 50_000}

    assert load_scorecard().judge(decider, NOW).grade == "A"
    assert load_scorecard().judge(LEAD, NOW).grade == "C"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([], "expected an object, found an empty list"),
        ({"rules": [], "grades": {}}, "grades: expected an object of grades"),
        ({"rules": [], "grades": {"A": 1}}, "grades: expected a grade that starts at 0"),
        ({"rules": [a_rule(points=1.5)], "grades": {"A": 0}}, "rules[0].points: expected an integer from -100 to 100"),
        ({"rules": [a_rule(operator="equal")], "grades": {"A": 0}}, "(did you mean 'equals'?)"),
        ({"rules": [a_rule(pionts=1)], "grades": {"A": 0}}, "rules[0].pionts: unknown key (did you mean 'points'?)"),
        ({"rules": [a_rule(operator="changed_to")], "grades": {"A": 0}}, "changed_to asks what changed"),
        (
            {"rules": [{"points": 1, "reason": "x"}], "grades": {"A": 0}},
            "rules[0].field: expected the field of a condition",
        ),
    ],
)
def test_wrong_scorecard_refuses_to_start_and_says_where(raw: Any, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "scorecard.json"
    path.write_text(json.dumps(raw), encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_scorecard(path)

    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass").decode("latin-1")])
def test_file_that_is_not_json_refuses_to_start(content: str, tmp_path: Path) -> None:
    path = tmp_path / "scorecard.json"
    path.write_bytes(content.encode("latin-1"))

    with pytest.raises(ConfigError, match="expected JSON"):
        load_scorecard(path)


def test_missing_file_refuses_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file that can be read: No such file"):
        load_scorecard(tmp_path / "nothing.json")
