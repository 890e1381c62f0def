"""The result of one check of the doctor."""

from dataclasses import dataclass
from enum import StrEnum


class Rating(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"  # it runs, but less well
    FAILED = "failed"  # it does not run as promised


@dataclass(frozen=True, slots=True)
class Check:
    """One check; ``mend`` is the command or step that repairs the installation, empty where none is needed."""

    name: str
    verdict: Rating
    says: str
    mend: str = ""
