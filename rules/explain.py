"""Why a candidate did not run: the words and the stored form (promise 7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import bson
from bson.errors import BSONError

from rules.conditions import Finding
from rules.path import MISSING

SHOWN_CHARACTERS: Final = 200


class Reason(StrEnum):
    """Why a candidate did not run."""

    CONDITION = "condition_not_met"
    CONDITION_UNKNOWN = "condition_unknown"  # what it asks for was not stored: see the missing images
    TRANSITION = "transition_not_met"  # the field changed, but not from or to the values asked for
    TRIGGER_UNKNOWN = "trigger_unknown"  # nobody can know whether the field changed
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"
    ENROLLED = "already_enrolled"
    COOLDOWN = "cooldown"
    REENTRY = "reentry"  # the workflow is in its own cause chain already
    DEPTH = "depth_exceeded"
    THROTTLED = "throttled"  # too many runs of this workflow for this entity within an hour
    INTAKE_ERROR = "intake_error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One workflow that did not run for one candidate, and why."""

    workflow_id: Any
    workflow_name: str
    workflow_version: int
    reason: str
    findings: tuple[Finding, ...] = ()
    detail: Mapping[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return ``{workflow_id, workflow_name, workflow_version, reason, conditions?, detail?}``."""
        document: dict[str, Any] = {
            "workflow_id": self.workflow_id,
            "workflow_name": self.workflow_name,
            "workflow_version": self.workflow_version,
            "reason": str(self.reason),
        }
        if self.findings:
            document["conditions"] = [finding_document(finding) for finding in self.findings[:10]]
        if self.detail:
            document["detail"] = dict(self.detail)
        return document


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return ``{path, field, operator, expected, actual?, verdict}``; no ``actual`` means that the field is missing."""
    document = {
        "path": finding.path,
        "field": finding.field,
        "operator": finding.operator,
        "expected": shown(finding.expected),
        "verdict": "unknown" if finding.verdict is None else "not_met",
    }
    if finding.actual is not MISSING:
        document["actual"] = shown(finding.actual)
    return document


def shown(value: Any) -> Any:
    """Return a value as it may be stored in an explanation: small ones as they are, others as a cut text."""
    if value is None or isinstance(value, (bool, int, float, bson.ObjectId)):
        return value
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…"
    if isinstance(value, (Mapping, list, tuple)):
        try:
            is_small = len(bson.encode({"": value})) <= SHOWN_CHARACTERS
        except (BSONError, OverflowError):
            is_small = False
        return value if is_small else f"{'document' if isinstance(value, Mapping) else 'array'} of {len(value)}"
    return value if not isinstance(value, (bytes, bytearray)) else f"{len(value)} bytes"
