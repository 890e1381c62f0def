"""Log the outcome of each edit of a workflow document, once it is committed."""

from collections.abc import Iterable

from daemon.event import Event
from daemon.telemetry import emit
from rules.version import Version

Edit = tuple[Version | None, Version]  # the version before, None for the first one, and the new one


def log_edits(edits: Iterable[Edit]) -> None:
    """Log each edit: refused, in force, switched, deleted."""
    for before, version in edits:
        names = {"workflow_id": version.workflow_id, "workflow_name": _name(before, version)}
        if version.is_deleted:
            emit(Event.WORKFLOW_DELETED, **names)
            continue
        _log_definition(before, version)
        if before is not None and not before.is_deleted and before.status is not version.status:
            emit(Event.WORKFLOW_STATUS_CHANGED, **names, status=version.status, previous=before.status)


def _log_definition(before: Version | None, version: Version) -> None:
    names = {"workflow_id": version.workflow_id, "workflow_name": _name(before, version), "version": version.number}
    if version.error is not None:
        emit(Event.WORKFLOW_INVALID, **names, error=version.error)
        return
    # An edit with the same definition keeps the definition object: then only the switch is logged.
    is_new = (
        before is None or before.is_deleted or before.error is not None or before.definition is not version.definition
    )
    if is_new or (before is not None and before.status is version.status):
        emit(Event.WORKFLOW_ACCEPTED, **names, status=version.status)


def _name(before: Version | None, version: Version) -> str | None:
    """Return the name of the version in force, None where no document of this workflow was ever valid."""
    workflow = version.workflow or (before.workflow if before is not None else None)
    return workflow.name if workflow is not None else None
