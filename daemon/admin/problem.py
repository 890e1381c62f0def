"""Errors of requests by admins; the HTTP status and the exit code follow from the class."""

from config.error import ReflexdError


class NotFound(ReflexdError):
    """The thing does not exist."""


class Conflict(ReflexdError):
    """The present state forbids the request."""


class Changed(ReflexdError):
    """Somebody else has changed the document meanwhile: read it again first."""


class Busy(ReflexdError):
    """The request cannot be served now; it may be after ``retry_after_s`` seconds."""

    def __init__(self, problem: str, *, retry_after_s: int) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


class Malformed(ReflexdError):
    """The request makes no sense; ``path`` leads to the wrong value."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem
