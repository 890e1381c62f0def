"""The scorecard: the points that rate a lead, and the lowest sum of each grade.

A scorecard is a JSON file ``{rules: [{field, operator, value, points, reason}], grades: {name: lowest score}}``.
Operators are those of conditions. It is read and checked at start.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from config.error import ConfigError, WorkflowError
from rules.condition import Condition, Subject, parse_condition
from rules.validation import OUTSIDE_DATA, joined, validated

SHIPPED: Final = Path(__file__).parent.parent / "config" / "scorecard.json"
LOWEST_SCORE: Final = 0
HIGHEST_SCORE: Final = 100

_MOST_RULES: Final = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """Points, more or fewer, for a lead that meets a condition, and the reason to show for them."""

    condition: Condition
    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class Qualification:
    """The rating of a lead: a score from 0 to 100, its grade, and every reason with its points."""

    score: int
    grade: str
    reasons: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Rules, and grades with the lowest score of each, the best first."""

    rules: tuple[Rule, ...]
    grades: tuple[tuple[str, int], ...]

    def judge(self, entity: Mapping[str, Any], now: datetime) -> Qualification:
        """Return the rating of ``entity``; ``now`` is the server's time, for derived fields."""
        subject = Subject(entity, now)
        met = [rule for rule in self.rules if rule.condition.judge(subject)]
        score = min(max(sum(rule.points for rule in met), LOWEST_SCORE), HIGHEST_SCORE)
        reasons = tuple({"reason": rule.reason, "points": rule.points} for rule in met)
        return Qualification(score, self._grade_of(score), reasons)

    def _grade_of(self, score: int) -> str:
        return next(grade for grade, lowest in self.grades if score >= lowest)


class _Rule(BaseModel):
    model_config = OUTSIDE_DATA

    field: Any = None  # these three are a condition's
    operator: Any = None
    value: Any = None
    points: Annotated[int, Field(ge=-100, le=100, description="an integer from -100 to 100")]
    reason: Annotated[str, Field(min_length=1, max_length=200, description="a text of 1 to 200 characters")]


class _Scorecard(BaseModel):
    model_config = OUTSIDE_DATA

    rules: Annotated[list[Any], Field(max_length=_MOST_RULES, description=f"a list of at most {_MOST_RULES} rules")]
    grades: Annotated[
        dict[str, Annotated[int, Field(ge=LOWEST_SCORE, le=HIGHEST_SCORE)]],
        Field(min_length=1, description="an object of grades and their lowest scores, integers from 0 to 100"),
    ]


def load_scorecard(path: Path | None = None) -> Scorecard:
    """Return the scorecard in the file ``path``, else the one shipped here.

    Raises ConfigError that names the file and the place in it.
    """
    path = path or SHIPPED
    try:
        return parse_scorecard(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"scorecard {path}: expected a file that can be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"scorecard {path}: expected JSON: {error}") from error
    except WorkflowError as error:
        raise ConfigError(f"scorecard {path}: {error}") from error


def parse_scorecard(raw: object) -> Scorecard:
    """Return the scorecard that ``raw`` describes; raise WorkflowError with the path of what is wrong."""
    card = validated(_Scorecard, raw, "")
    rules = tuple(_parsed(rule, joined("rules", number)) for number, rule in enumerate(card.rules))
    grades = sorted(card.grades.items(), key=lambda grade: grade[1], reverse=True)
    if grades[-1][1] != LOWEST_SCORE:
        raise WorkflowError("grades", f"expected a grade that starts at {LOWEST_SCORE}, found none")
    return Scorecard(rules, tuple(grades))


def _parsed(raw: Any, path: str) -> Rule:
    rule = validated(_Rule, raw, path)
    condition = {key: raw[key] for key in ("field", "operator", "value") if key in raw}
    return Rule(parse_condition(condition, path, with_changes=False), rule.points, rule.reason)
