"""Changes and workflows made by hand, for tests of the rules."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from actions.registry import parse_action
from rules.cause import OUTSIDE, Cause
from rules.change import Change, JudgedOn, Kind
from rules.workflow import Workflow, parse_workflow
from tests.support.bench import workflow_document

AT: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TOKEN: Final = "82aa"


def an_update(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    touched: Collection[str] | None = (),
    *,
    cause: Cause = OUTSIDE,
    judged_on: JudgedOn = JudgedOn.EVENT,
) -> Change:
    """Return an update of lead 1; ``touched`` None is a replace whose paths nobody knows."""
    paths = None if touched is None else frozenset(touched)
    return Change("lead", 1, Kind.UPDATED, paths, before, after, AT, TOKEN, (1, 2), cause, judged_on)


def a_creation(entity: Mapping[str, Any], *, entity_type: str = "lead", cause: Cause = OUTSIDE) -> Change:
    entity_id = entity.get("_id", 1)
    return Change(entity_type, entity_id, Kind.CREATED, frozenset(), None, entity, AT, TOKEN, (1, 2), cause)


def a_deletion(before: Mapping[str, Any] | None) -> Change:
    return Change("lead", 1, Kind.DELETED, frozenset(), before, None, AT, TOKEN, (1, 2))


def parsed(workflow_id: Any, version: int, document: Mapping[str, Any]) -> Workflow:
    """Return a workflow read as the daemon reads it."""
    return parse_workflow(
        workflow_id,
        version,
        document,
        entity_types=("lead", "deal", "contact"),
        timezone="UTC",
        parse_action=parse_action,
    )


def a_workflow(trigger: Mapping[str, Any], **changes: Any) -> Workflow:
    document = workflow_document(trigger, **changes)
    return parsed(document["_id"], 1, document)
