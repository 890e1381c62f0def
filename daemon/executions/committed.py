"""The contents of one commit of the reader, for the rooms that continue with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.executions.job import Job
from rules.version import Version


@dataclass(frozen=True, slots=True)
class Committed:
    """The contents of one transaction, for the lanes, the switches and the log."""

    jobs: Sequence[Job]
    ended: Sequence[Job]
    edits: Sequence[tuple[Version | None, Version]]  # the new versions, each with the one before it
    rewritten: Sequence[Any]  # ids of workflows that were saved without a new version
    commit: int

    @property
    def versions(self) -> list[Version]:
        """The new versions of workflows, in order."""
        return [version for _, version in self.edits]
