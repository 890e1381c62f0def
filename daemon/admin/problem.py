"""Why something that an admin asked for is not done; the HTTP status and the exit code follow from the class."""

from config.error import ReflexdError


class NotFound(ReflexdError):
    """There is no such thing."""


class Conflict(ReflexdError):
    """It cannot be done as things stand."""


class Changed(ReflexdError):
    """Somebody else has changed it meanwhile: read it again first."""


class Busy(ReflexdError):
    """It cannot be done now; after ``retry_after_s`` seconds it may be."""

    def __init__(self, problem: str, *, retry_after_s: int) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


class Malformed(ReflexdError):
    """What was sent makes no sense; ``path`` says where."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem
