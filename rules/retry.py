"""When a failed step is tried again: the numbers, not the computing of the delay."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BaseModel, Field

from config.duration import duration_text
from config.error import WorkflowError
from config.found import found
from rules.validation import OUTSIDE_DATA, Duration, joined, validated

MOST_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a step is attempted, and how long it waits in between.

    Before attempt n + 1 it waits ``initial * multiplier ** (n - 1)``, never longer than ``maximum``, of which up to
    ``jitter`` is random: so that a thousand steps that failed together do not come back together.
    ``max_attempts`` counts the first attempt too: 1 means no retry.
    """

    max_attempts: int = 5
    initial: timedelta = timedelta(seconds=10)
    maximum: timedelta = timedelta(hours=1)
    multiplier: float = 2.0
    jitter: timedelta = timedelta(seconds=5)


DEFAULT_POLICY: Final = RetryPolicy()
ONE_ATTEMPT: Final = RetryPolicy(max_attempts=1)


class _Retry(BaseModel):
    model_config = OUTSIDE_DATA

    max_attempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS, description=f"an integer from 1 to {MOST_ATTEMPTS}")] = 5
    initial: Duration = DEFAULT_POLICY.initial
    maximum: Duration = DEFAULT_POLICY.maximum
    multiplier: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False, description="a number from 1 to 100")] = 2.0
    jitter: Duration = DEFAULT_POLICY.jitter


def parse_retry(raw: object, path: str = "retry") -> RetryPolicy:
    """Return the policy that ``raw`` describes: ``false`` for a single attempt, or an object of its numbers.

    Raises WorkflowError. Where only one of ``initial`` and ``maximum`` is given, the default of the other gives way.
    """
    if raw is False:
        return ONE_ATTEMPT
    if not isinstance(raw, Mapping):
        raise WorkflowError(path, f"expected an object or false, found {found(raw)}")
    retry = validated(_Retry, raw, path)
    initial, maximum = retry.initial, retry.maximum
    if "maximum" not in retry.model_fields_set:
        maximum = max(initial, maximum)
    elif "initial" not in retry.model_fields_set:
        initial = min(initial, maximum)
    if initial > maximum:
        problem = f"expected at least initial, {duration_text(initial)}; found {duration_text(maximum)}"
        raise WorkflowError(joined(path, "maximum"), problem)
    return RetryPolicy(retry.max_attempts, initial, maximum, retry.multiplier, retry.jitter)
