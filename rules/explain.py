"""The reasons why candidates did not run, and their stored form (promise 7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import bson
from bson import Code, DBRef, Regex
from bson.errors import BSONError

from config.found import spelled
from rules.budget import TooCostly
from rules.conditions import MOST_FINDINGS, Finding
from rules.operators import OPERATORS
from rules.path import MISSING

SHOWN_CHARACTERS: Final = 200


class Reason(StrEnum):
    """The reason why a candidate did not run."""

    CONDITION = "condition_not_met"
    CONDITION_UNKNOWN = "condition_unknown"  # a value it needs was not stored: see the missing images
    TRANSITION = "transition_not_met"  # the field changed, but not from or to the values asked for
    TRIGGER_UNKNOWN = "trigger_unknown"  # it cannot be known whether the field changed
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"
    ENROLLED = "already_enrolled"
    COOLDOWN = "cooldown"
    REENTRY = "reentry"  # the workflow is in its own cause chain already
    DEPTH = "depth_exceeded"
    TOO_COSTLY = "too_costly"  # judging was given up at its limit of steps: see rules.budget
    THROTTLED = "throttled"  # too many runs of this workflow for this entity within an hour
    INTAKE_ERROR = "intake_error"


GIVEN_UP: Final = frozenset({Reason.INTAKE_ERROR, Reason.TOO_COSTLY})  # whether it should have run is unknown


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
            "workflow_name": abridged(self.workflow_name),
            "workflow_version": self.workflow_version,
            "reason": str(self.reason),
        }
        if self.findings:
            document["conditions"] = [finding_document(finding) for finding in self.findings[:MOST_FINDINGS]]
        if self.detail:
            document["detail"] = dict(self.detail)
        return document


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return ``{path, field, operator, expected, actual?, verdict}``; no ``actual`` means that the field is missing."""
    document = {
        "path": finding.path,
        "field": finding.field,
        "operator": finding.operator,
        "expected": abridged(finding.expected),
        "verdict": "unknown" if finding.verdict is None else "not_met",
    }
    if finding.actual is not MISSING:
        document["actual"] = abridged(finding.actual)
    return document


def missed(finding: Finding) -> str:
    """Return in words which condition was not met, and why: ``amount greater_than 100, found 50``."""
    kind = "none of " if ".none[" in finding.path else ""
    wanted = "" if OPERATORS[finding.operator].takes_nothing else f" {spelled(abridged(finding.expected))}"
    actual = "nothing" if finding.actual is MISSING else spelled(abridged(finding.actual))
    return f"{kind}{finding.field} {finding.operator}{wanted}, found {actual}"


def evidence_document(finding: Finding) -> dict[str, Any]:
    """Return what ``finding_document`` does, of a condition that helped: that held, or under ``none`` did not."""
    document = finding_document(finding)
    return {**document, "verdict": "met"} if finding.verdict is True else document


def abridged(value: Any) -> Any:
    """Return a value as it may be stored in an explanation: small ones as they are, others as a cut text.

    The largest value takes about as long as a small one.
    """
    if value is None or isinstance(value, (bool, int, float, bson.ObjectId)):
        return value
    if isinstance(value, (Code, Regex)):
        value = str(value) if isinstance(value, Code) else f"/{value.pattern[: SHOWN_CHARACTERS + 1]}/"
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…"
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, (Mapping, list, tuple)):
        name = "document" if isinstance(value, Mapping) else "array"
        try:
            return value if _is_small(value) else f"{name} of {len(value)}"
        except TooCostly:
            return name  # counting its entries would be too costly
    return value if not isinstance(value, (bytes, bytearray)) else f"{len(value)} bytes"


def _is_small(value: Any) -> bool:
    """Return whether a document or array can be stored, in no more bytes than an abridged text."""
    left = SHOWN_CHARACTERS
    parts = [value]
    while parts:
        part = parts.pop()
        left -= len(part) if hasattr(part, "__len__") else 1
        if left < 0 or isinstance(part, (Regex, DBRef)) or (isinstance(part, Code) and part.scope):
            return False
        if isinstance(part, Mapping):
            left -= sum(map(len, part))
            parts += part.values()
        elif isinstance(part, (list, tuple)):
            parts += part
    try:
        return len(bson.encode({"": value})) <= SHOWN_CHARACTERS
    except (BSONError, OverflowError):
        return False
