"""Contexts for tests of actions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from actions.context import Context
from actions.services import Services

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EXECUTION_ID = ObjectId("69a54d900123456789abcdef")
WORKFLOW_ID = ObjectId("69a54d90aaaaaaaaaaaaaaaa")
LEAD: Mapping[str, Any] = {"_id": 7, "name": "Ana Souza", "email": "ana@example.com", "source": "website_form"}


def a_context(
    entity: Mapping[str, Any] = LEAD,
    *,
    entity_type: str = "lead",
    execution_id: ObjectId = EXECUTION_ID,
    node: str = "0",
    attempt: int = 1,
    services: Services | None = None,
) -> Context:
    """Return the context of an attempt; everything that is not named stays the same from call to call."""
    return Context(
        entity=entity,
        entity_type=entity_type,
        entity_id=entity.get("_id"),
        workflow_id=WORKFLOW_ID,
        workflow_name="Welcome new leads",
        execution_id=execution_id,
        node=node,
        attempt=attempt,
        now=NOW,
        triggered_at=NOW,
        trigger={"type": "entity_created", "kind": "created", "at": NOW},
        services=services or Services(),
    )
