"""Parse workflow documents with the entity types and time zone of this installation and the actions of this version."""

import asyncio
import sys
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import bson

from actions.registry import parse_action
from config.error import WorkflowError
from config.settings import Settings
from rules.version import Parse
from rules.workflow import ParseAction, Workflow, parse_workflow

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
LARGE_BYTES: Final = 8 * 1024  # about 5 ms to read
_SWITCH_S: Final = 0.0005  # how long a thread keeps the event loop waiting each time the loop has done some I/O


def parser_for(
    settings: Settings, parse_action: ParseAction = parse_action, unwatched: Mapping[str, str] = _NONE
) -> Parse:
    """Return the function that reads (workflow id, version, document); it raises WorkflowError.

    ``unwatched``: the entity types without a change stream, and the kind of their collection, as known when a document
    is read.
    """
    return partial(_parse, settings, parse_action, unwatched)


def _parse(
    settings: Settings,
    parse_action: ParseAction,
    unwatched: Mapping[str, str],
    workflow_id: Any,
    version: int,
    document: Mapping[str, Any],
) -> Workflow:
    return parse_workflow(
        workflow_id,
        version,
        document,
        entity_types=tuple(settings.entities),
        timezone=settings.timezone,
        parse_action=parse_action,
        unwatched=unwatched,
    )


async def parsed_aside(
    parse: Parse, workflow_id: Any, version: int, document: Mapping[str, Any]
) -> Workflow | WorkflowError:
    """Return the workflow that ``document`` defines, or the error.

    A large document is parsed in a thread: a thousand conditions take longer than the event loop may stand still.
    """

    def attempt() -> Workflow | WorkflowError:
        try:
            return parse(workflow_id, version, document)
        except WorkflowError as error:
            return error

    if not is_large(document):
        return attempt()
    sys.setswitchinterval(_SWITCH_S)
    return await asyncio.to_thread(attempt)


def is_large(document: Mapping[str, Any]) -> bool:
    """Return whether parsing a workflow document takes noticeable time."""
    return len(bson.encode(document)) >= LARGE_BYTES
