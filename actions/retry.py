"""How long a step waits that failed or was postponed."""

from datetime import timedelta
from typing import Final

from tenacity import RetryCallState, Retrying, wait_exponential_jitter

from rules.retry import RetryPolicy

LONGEST_POSTPONEMENT: Final = timedelta(hours=1)
_SHORTEST_POSTPONEMENT: Final = timedelta(seconds=1)


def delay_before(policy: RetryPolicy, attempt: int) -> timedelta:
    """Return how long to wait before attempt number ``attempt``, which is 2 for the first retry.

    Tenacity only computes the delay. MongoDB keeps it as ``due_at``, so a retry survives a restart and holds no
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


def postponement(policy: RetryPolicy, asked: timedelta, times: int) -> timedelta:
    """Return how long a step waits that was asked to come back after ``asked``, for the ``times``-th time.

    It comes back no sooner than asked, and no sooner than after as many failed attempts: where a limit stays full, the
    steps that wait for it spread out and ask ever less often. After an hour it asks again, whatever it was told.
    """
    wait = max(asked, delay_before(policy, times + 1), _SHORTEST_POSTPONEMENT)
    return min(wait, LONGEST_POSTPONEMENT)
