"""The state of one workflow at one position of the stream, and how an edit changes it.

The reader's truth: what an admin wrote takes effect here, in stream order, and nowhere else (promise 5). An
invalid edit leaves the last good version running; a valid status takes effect even when the rest is invalid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import bson

from config.error import WorkflowError
from rules.other_key import other_keys
from rules.workflow import OWN_KEYS, Workflow, WorkflowStatus, definition_of, status_of

Parse = Callable[[Any, int, Mapping[str, Any]], Workflow]  # (workflow id, version, document); raises WorkflowError


class Switch(StrEnum):
    """The effect of a change of status on the executions that wait at its position."""

    HOLD = "hold"  # paused: waiting steps leave the queue
    RELEASE = "release"  # active or draining after paused: held steps get their due times back
    CANCEL = "cancel"  # stopped or deleted: what waits ends cancelled


@dataclass(frozen=True, slots=True)
class Version:
    """The newest version of a workflow.

    ``workflow`` is the last good one, None if there never was one; ``error`` is the error of the last document
    seen. ``stopped_seq``: executions up to this number end cancelled, -1 for none. ``at_seq``: the number of the
    last execution made before this version. ``seen`` is a digest of the last document, to tell echoes apart, and edits
    of keys that define nothing.
    ``since``: when the document was written, None where nobody knows any more.
    """

    workflow_id: Any
    number: int
    status: WorkflowStatus
    workflow: Workflow | None
    definition: Mapping[str, Any] | None
    seen: str
    error: WorkflowError | None = None
    at_seq: int = 0
    stopped_seq: int = -1
    switch: Switch | None = None
    is_deleted: bool = False
    since: datetime | None = None

    @property
    def is_invalid(self) -> bool:
        """Whether the last document seen was refused."""
        return self.error is not None

    def at(self, seq: int) -> "Version":
        """Return this version placed after the execution numbered ``seq``, the last one made before it."""
        is_cancelling = self.switch is Switch.CANCEL
        return replace(self, at_seq=seq, stopped_seq=seq if is_cancelling else self.stopped_seq)


def edited(
    version: Version | None, workflow_id: Any, document: Mapping[str, Any] | None, parse: Parse
) -> Version | None:
    """Return the version that ``document`` (None: deleted) makes of ``version``, or None if nothing changed.

    The number of a version is one more than the last; a status that changes makes a version too, because its
    position in the stream matters.
    """
    if document is None:
        return _deleted(version)
    others = set(other_keys(document))
    seen = digest_of({key: value for key, value in document.items() if key not in others})
    if version is not None and version.seen == seen and not version.is_deleted:
        return None
    number = 1 if version is None else version.number + 1
    before = WorkflowStatus.ACTIVE if version is None or version.is_deleted else version.status
    try:
        status = status_of(document)
        workflow, definition, error = _definition(version, workflow_id, number, document, parse)
    except WorkflowError as wrong:
        status = before
        workflow, definition, error = _last_good(version, number, wrong)
    return Version(
        workflow_id,
        number,
        status,
        workflow,
        definition,
        seen,
        error,
        stopped_seq=-1 if version is None else version.stopped_seq,
        switch=_switch(before, status),
    )


def digest_of(document: Mapping[str, Any]) -> str:
    """Return a digest of what an admin wrote: the document without the daemon's own keys."""
    own = {key: value for key, value in document.items() if key not in OWN_KEYS}
    return blake2b(bson.encode(own), digest_size=16).hexdigest()


def defines_the_same(before: Mapping[str, Any] | None, document: Mapping[str, Any]) -> bool:
    """Return whether ``document`` defines what ``before`` does: an earlier document, or the definition of a version."""
    if not before:
        return False
    # As BSON: to Python, 1 and True are equal, and so are documents whose keys are in another order.
    return bson.encode(definition_of(before)) == bson.encode(definition_of(document))


def _definition(
    version: Version | None, workflow_id: Any, number: int, document: Mapping[str, Any], parse: Parse
) -> tuple[Workflow | None, Mapping[str, Any] | None, WorkflowError | None]:
    """Return the last good workflow and its definition, and the error of ``document`` if it is not the one."""
    good = None if version is None or version.is_deleted else version.workflow
    definition = definition_of(document)
    if good and version and defines_the_same(version.definition, document):
        return replace(good, version=number), version.definition, None
    try:
        return parse(workflow_id, number, document), definition, None
    except WorkflowError as error:
        return _last_good(version, number, error)


def _last_good(
    version: Version | None, number: int, error: WorkflowError
) -> tuple[Workflow | None, Mapping[str, Any] | None, WorkflowError]:
    """Return what stays in force under a new number where a document is refused because of ``error``."""
    if version is None or version.is_deleted or version.workflow is None:
        return None, None, error
    return replace(version.workflow, version=number), version.definition, error


def _deleted(version: Version | None) -> Version | None:
    if version is None or version.is_deleted:
        return None
    return replace(
        version,
        number=version.number + 1,
        status=WorkflowStatus.STOPPED,
        seen="",
        error=None,
        switch=Switch.CANCEL,
        is_deleted=True,
    )


def _switch(before: WorkflowStatus, after: WorkflowStatus) -> Switch | None:
    if after is before:
        return None
    if after is WorkflowStatus.PAUSED:
        return Switch.HOLD
    if after is WorkflowStatus.STOPPED:
        return Switch.CANCEL
    return Switch.RELEASE if before is WorkflowStatus.PAUSED else None
