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
from rules.workflow import OWN_KEYS, Status, Workflow, definition_of, status_of

Parse = Callable[[Any, int, Mapping[str, Any]], Workflow]  # (workflow id, version, document); raises WorkflowError


class Transition(StrEnum):
    """What a change of status does to the executions that wait at its position."""

    HOLD = "hold"  # paused: waiting steps leave the queue
    RELEASE = "release"  # active or draining after paused: held steps get their due times back
    CANCEL = "cancel"  # stopped or deleted: what waits ends cancelled


@dataclass(frozen=True, slots=True)
class Head:
    """The newest version of a workflow.

    ``workflow`` is the last good one, None if there never was one; ``error`` is the error of the last document
    seen. ``stopped_seq``: executions up to this number end cancelled, -1 for none. ``at_seq``: the number of the
    last execution made before this version. ``seen`` is a digest of the last document, to tell echoes apart, and edits
    of keys that define nothing.
    ``since``: when the document was written, None where nobody knows any more.
    """

    workflow_id: Any
    version: int
    status: Status
    workflow: Workflow | None
    definition: Mapping[str, Any] | None
    seen: str
    error: WorkflowError | None = None
    at_seq: int = 0
    stopped_seq: int = -1
    transition: Transition | None = None
    is_deleted: bool = False
    since: datetime | None = None

    @property
    def is_invalid(self) -> bool:
        """Whether the last document seen was refused."""
        return self.error is not None

    def at(self, seq: int) -> "Head":
        """Return this version placed after the execution numbered ``seq``, the last one made before it."""
        is_cancelling = self.transition is Transition.CANCEL
        return replace(self, at_seq=seq, stopped_seq=seq if is_cancelling else self.stopped_seq)


def edited(head: Head | None, workflow_id: Any, document: Mapping[str, Any] | None, parse: Parse) -> Head | None:
    """Return the version that ``document`` (None: deleted) makes of ``head``, or None if nothing changed.

    The number of a version is one more than the last; a status that changes makes a version too, because its
    position in the stream matters.
    """
    if document is None:
        return _deleted(head)
    others = set(other_keys(document))
    seen = digest_of({key: value for key, value in document.items() if key not in others})
    if head is not None and head.seen == seen and not head.is_deleted:
        return None
    version = 1 if head is None else head.version + 1
    before = Status.ACTIVE if head is None or head.is_deleted else head.status
    try:
        status = status_of(document)
        workflow, definition, error = _definition(head, workflow_id, version, document, parse)
    except WorkflowError as wrong:
        status = before
        workflow, definition, error = _last_good(head, version, wrong)
    return Head(
        workflow_id,
        version,
        status,
        workflow,
        definition,
        seen,
        error,
        stopped_seq=-1 if head is None else head.stopped_seq,
        transition=_transition(before, status),
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
    head: Head | None, workflow_id: Any, version: int, document: Mapping[str, Any], parse: Parse
) -> tuple[Workflow | None, Mapping[str, Any] | None, WorkflowError | None]:
    """Return the last good workflow and its definition, and the error of ``document`` if it is not the one."""
    good = None if head is None or head.is_deleted else head.workflow
    definition = definition_of(document)
    if good and head and defines_the_same(head.definition, document):
        return replace(good, version=version), head.definition, None
    try:
        return parse(workflow_id, version, document), definition, None
    except WorkflowError as error:
        return _last_good(head, version, error)


def _last_good(
    head: Head | None, version: int, error: WorkflowError
) -> tuple[Workflow | None, Mapping[str, Any] | None, WorkflowError]:
    """Return what stays in force under ``version`` where a document is refused because of ``error``."""
    if head is None or head.is_deleted or head.workflow is None:
        return None, None, error
    return replace(head.workflow, version=version), head.definition, error


def _deleted(head: Head | None) -> Head | None:
    if head is None or head.is_deleted:
        return None
    return replace(
        head,
        version=head.version + 1,
        status=Status.STOPPED,
        seen="",
        error=None,
        transition=Transition.CANCEL,
        is_deleted=True,
    )


def _transition(before: Status, after: Status) -> Transition | None:
    if after is before:
        return None
    if after is Status.PAUSED:
        return Transition.HOLD
    if after is Status.STOPPED:
        return Transition.CANCEL
    return Transition.RELEASE if before is Status.PAUSED else None
