"""The retry policy of a step: how many attempts, and the numbers from which ``actions.retry`` computes delays."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BaseModel, Field

from config.duration import duration_text
from config.error import WorkflowError
from config.found import found
from rules.validation import OUTSIDE_DATA, Duration, Whole, joined, validated

MOST_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a step is attempted, and how long the step waits in between.

    Before attempt n + 1 the step waits ``initial * multiplier ** (n - 1)``, never longer than ``maximum``. Up to
    ``jitter`` of that is random, so that a thousand steps that failed together do not come back together.
    ``max_attempts`` counts the first attempt too: 1 means no retry.
    """

    max_attempts: int = 5
    initial: timedelta = timedelta(seconds=10)
    maximum: timedelta = timedelta(hours=1)
    multiplier: float = 2.0
    jitter: timedelta = timedelta(seconds=5)


DEFAULT_POLICY: Final = RetryPolicy()
# Two hours in all: hosts are down for a while, and greylisting mail servers refuse for some minutes.
OUTSIDE_POLICY: Final = RetryPolicy(max_attempts=18, maximum=timedelta(minutes=10))
ONE_ATTEMPT: Final = RetryPolicy(max_attempts=1)


class _Retry(BaseModel):
    model_config = OUTSIDE_DATA

    max_attempts: Annotated[
        int, Whole, Field(ge=1, le=MOST_ATTEMPTS, description=f"an integer from 1 to {MOST_ATTEMPTS}")
    ] = 5
    initial: Duration = DEFAULT_POLICY.initial
    maximum: Duration = DEFAULT_POLICY.maximum
    multiplier: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False, description="a number from 1 to 100")] = 2.0
    jitter: Duration = DEFAULT_POLICY.jitter


def parse_retry(raw: object, path: str = "retry", default: RetryPolicy = DEFAULT_POLICY) -> RetryPolicy:
    """Return the policy that ``raw`` describes: ``false`` for a single attempt, or an object of its numbers.

    Missing numbers are those of ``default``. Where only one of ``initial`` and ``maximum`` is given, the other is
    adjusted. Raises WorkflowError.
    """
    if raw is False:
        return ONE_ATTEMPT
    if not isinstance(raw, Mapping):
        raise WorkflowError(path, f"expected an object or false, found {found(raw)}")
    retry = validated(_Retry, raw, path)
    given = retry.model_fields_set
    policy = replace(default, **{name: getattr(retry, name) for name in given})
    if "maximum" not in given:
        policy = replace(policy, maximum=max(policy.initial, policy.maximum))
    elif "initial" not in given:
        policy = replace(policy, initial=min(policy.initial, policy.maximum))
    if policy.initial > policy.maximum:
        problem = f"expected at least initial, {duration_text(policy.initial)}; found {duration_text(policy.maximum)}"
        raise WorkflowError(joined(path, "maximum"), problem)
    return policy
