"""What one look of the doctor came to."""

from dataclasses import dataclass
from enum import StrEnum


class Rating(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"  # it runs, but less well
    FAILED = "failed"  # it does not run as promised


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``mend`` is the command or step that helps, empty where none is needed."""

    name: str
    verdict: Rating
    says: str
    mend: str = ""
