"""How this installation reads workflow documents: its entity types, its time zone, the actions of this version."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from actions.registry import parse_action
from config.settings import Settings
from rules.head import Parse
from rules.workflow import ParseAction, Workflow, parse_workflow


def parser_for(settings: Settings, parse_action: ParseAction = parse_action) -> Parse:
    """Return the function that reads (workflow id, version, document); it raises WorkflowError."""
    return partial(_parse, settings, parse_action)


def _parse(
    settings: Settings, parse_action: ParseAction, workflow_id: Any, version: int, document: Mapping[str, Any]
) -> Workflow:
    return parse_workflow(
        workflow_id,
        version,
        document,
        entity_types=tuple(settings.entities),
        timezone=settings.timezone,
        parse_action=parse_action,
    )
