"""One action of a workflow, with what surrounds it: when it runs, if it runs, and what happens when it fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from config.duration import duration_text
from config.error import WorkflowError
from config.found import found
from rules.conditions import Conditions, parse_conditions
from rules.pattern import PatternBudget
from rules.retry import DEFAULT_POLICY, RetryPolicy, parse_retry
from rules.validation import OUTSIDE_DATA, Duration, Problems, joined, one_of, validated

LONGEST_TIMEOUT: Final = timedelta(minutes=10)

# Makes a step's own parameters an action: ``(type, parameters, path) -> action``; raises WorkflowError.
ParseAction = Callable[[str, Mapping[str, Any], str], object]


class OnFailure(StrEnum):
    """The effect of a final failure on the later steps."""

    CONTINUE = "continue"  # they run; the default
    STOP = "stop"  # they do not run


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a workflow.

    ``delay`` counts from ``triggered_at`` for the first step, from the end of the step before for the others.
    ``conditions`` are judged on the entity as it is when the step runs; None means that it always does.
    ``timeout`` is the deadline of one attempt. ``action`` is what ``parse_action`` made of the other keys; what a step
    does not say of its retries is as in the action's ``default_retry``, if it has one.
    """

    action_type: str
    action: Any
    delay: timedelta = timedelta()
    conditions: Conditions | None = None
    on_failure: OnFailure = OnFailure.CONTINUE
    retry: RetryPolicy = DEFAULT_POLICY
    timeout: timedelta = timedelta(seconds=30)


class _Step(BaseModel):
    model_config = OUTSIDE_DATA

    type: Annotated[str, Field(min_length=1, description="the type of an action")]
    delay: Duration = timedelta()
    conditions: Any = None
    on_failure: Any = OnFailure.CONTINUE
    retry: Any = None
    timeout: Duration = timedelta(seconds=30)


def parse_step(raw: object, path: str, parse_action: ParseAction, patterns: PatternBudget | None = None) -> Step:
    """Return the step at ``path``, for example ``actions[1]``; raise WorkflowError if it is none.

    The keys that are not a step's own are the parameters of its action. Step conditions are judged when no change
    is at hand any more, so they cannot ask what changed. ``patterns``: how large those of the workflow may still be.
    """
    if not isinstance(raw, Mapping):
        raise WorkflowError(path, f"expected an object, found {found(raw)}")
    own = {key: value for key, value in raw.items() if key in _Step.model_fields}
    step = validated(_Step, own, path)
    given = step.model_fields_set
    conditions = None
    problems = Problems()
    parameters = {key: value for key, value in raw.items() if key not in own}
    action = problems.attempt(_parse_action, parse_action, step.type, parameters, path)
    retry: RetryPolicy = getattr(action, "default_retry", DEFAULT_POLICY)
    if "conditions" in given:
        where = joined(path, "conditions")
        conditions = problems.attempt(parse_conditions, step.conditions, where, with_changes=False, patterns=patterns)
    on_failure = problems.attempt(one_of, step.on_failure, list(OnFailure), joined(path, "on_failure"))
    if "retry" in given:
        retry = problems.attempt(parse_retry, step.retry, joined(path, "retry"), retry) or retry
    problems.attempt(_check_timeout, step.timeout, joined(path, "timeout"))
    problems.raise_first()
    return Step(
        step.type, action, step.delay, conditions, OnFailure(on_failure or OnFailure.CONTINUE), retry, step.timeout
    )


def _parse_action(parse_action: ParseAction, action_type: str, parameters: Mapping[str, Any], path: str) -> object:
    """Return the action; a WorkflowError without a path is given that of the step."""
    try:
        return parse_action(action_type, parameters, path)
    except WorkflowError as error:
        if error.path.startswith(path):
            raise
        where = f"{path}.{error.path}" if error.path else path
        raise WorkflowError(where, error.problem, error.more) from error


def _check_timeout(timeout: timedelta, path: str) -> None:
    if not timedelta() < timeout <= LONGEST_TIMEOUT:
        problem = f"expected a duration longer than 0 and at most {duration_text(LONGEST_TIMEOUT)}"
        raise WorkflowError(path, f"{problem}, found {duration_text(timeout)}")
