"""The root error and the errors whose class says what happens next.

A message names the thing, what was expected, what was found and, where there is one, the nearest known
name. Foreign errors are wrapped once, at the edge, with ``from``.
"""

import difflib
from collections.abc import Iterable
from datetime import timedelta


class ReflexdError(Exception):
    """The root of every error this product raises on purpose."""


class ConfigError(ReflexdError):
    """A setting is wrong: refuse to start, exit code 78."""


class WorkflowError(ReflexdError):
    """A workflow document is wrong: that workflow is invalid, all others are unaffected.

    ``path`` leads into the document, for example ``actions[1].delay``; empty for the document as a whole.
    ``more`` counts the other problems that were found; the message ends with it.
    """

    def __init__(self, path: str, problem: str, more: int = 0) -> None:
        rest = f" (and {more} more)" if more else ""
        super().__init__((f"{path}: {problem}" if path else problem) + rest)
        self.path = path
        self.problem = problem
        self.more = more


class TransientActionError(ReflexdError):
    """An action failed and may succeed later: the step is retried.

    ``retry_after``: a host or a full limit asks to come back then. The step is postponed, and no attempt is counted.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentActionError(ReflexdError):
    """An action failed and would fail again: the step fails."""


class StoreUnavailable(ReflexdError):
    """MongoDB does not answer: back off and try again."""


class LeaseLost(ReflexdError):
    """Somebody else owns the lane or the reader role now: drop the result."""


class HistoryLost(ReflexdError):
    """The stream position is no longer in the oplog: stop the reader, loudly."""


class CheckpointCorrupt(ReflexdError):
    """The stored stream position cannot be used: stop the reader, never start silently from now."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name nearest to ``name``, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{matches[0]}'?)" if matches else ""
