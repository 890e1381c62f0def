"""How long a failed step waits before its next attempt."""

from datetime import timedelta

from tenacity import RetryCallState, Retrying, wait_exponential_jitter

from rules.retry import RetryPolicy


def delay_before(policy: RetryPolicy, attempt: int) -> timedelta:
    """Return how long to wait before attempt number ``attempt``, which is 2 for the first retry.

    Tenacity only computes: MongoDB remembers the delay as ``due_at``, so a retry survives a restart and holds no
    slot. Up to ``policy.jitter`` of it is random, so that steps that failed together do not come back together.
    """
    wait = wait_exponential_jitter(
        multiplier=policy.initial.total_seconds(),
        exp_base=policy.multiplier,
        max=policy.maximum.total_seconds(),
        jitter=policy.jitter.total_seconds(),
    )
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = max(attempt - 1, 1)
    return timedelta(seconds=wait(state))
