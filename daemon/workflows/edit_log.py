"""Log the outcome of each edit of a workflow document, once it is committed."""

from collections.abc import Iterable

from daemon.event import Event
from daemon.telemetry import emit
from rules.head import Head

Edit = tuple[Head | None, Head]  # the version before, None for the first one, and the new one


def log_edits(edits: Iterable[Edit]) -> None:
    """Log each edit: refused, in force, switched, deleted."""
    for before, head in edits:
        if head.is_deleted:
            emit(Event.WORKFLOW_DELETED, workflow_id=head.workflow_id, workflow_name=_name(before, head))
            continue
        _log_definition(before, head)
        if before is not None and not before.is_deleted and before.status is not head.status:
            emit(
                Event.WORKFLOW_STATUS_CHANGED,
                workflow_id=head.workflow_id,
                workflow_name=_name(before, head),
                status=head.status,
                previous=before.status,
            )


def _log_definition(before: Head | None, head: Head) -> None:
    if head.error is not None:
        emit(
            Event.WORKFLOW_INVALID,
            workflow_id=head.workflow_id,
            workflow_name=_name(before, head),
            version=head.version,
            error=head.error,
        )
        return
    # An edit with the same definition keeps the definition object: then only the switch is logged.
    is_new = before is None or before.is_deleted or before.error is not None or before.definition is not head.definition
    if is_new or (before is not None and before.status is head.status):
        emit(
            Event.WORKFLOW_ACCEPTED,
            workflow_id=head.workflow_id,
            workflow_name=_name(before, head),
            version=head.version,
            status=head.status,
        )


def _name(before: Head | None, head: Head) -> str | None:
    """Return the name of the version in force, None where no document of this workflow was ever valid."""
    workflow = head.workflow or (before.workflow if before is not None else None)
    return workflow.name if workflow is not None else None
