"""The actions this version knows, and how a step's parameters become one of them.

A new action is one new file and one line in ``ACTIONS``.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from actions.action import Action
from actions.create_task import CreateTask
from actions.enrich_lead import EnrichLead
from actions.qualify_lead import QualifyLead
from actions.send_email import SendEmail
from actions.send_notification import SendNotification
from actions.update_field import UpdateField
from config.error import WorkflowError, nearest
from config.found import LONGEST_SHOWN, found
from rules.validation import joined

ACTIONS: Final[tuple[type[Action], ...]] = (
    CreateTask,
    EnrichLead,
    QualifyLead,
    SendEmail,
    SendNotification,
    UpdateField,
)

_BY_TYPE: Final[Mapping[str, type[Action]]] = {action.type: action for action in ACTIONS}


def parse_action(action_type: object, parameters: Mapping[str, Any], path: str) -> Action:
    """Return the action of this type with these parameters.

    ``path`` is where the step stands in the workflow document, for example ``actions[1]``. Raises WorkflowError
    with the path of the first wrong parameter, and how many more are wrong.
    """
    action = _BY_TYPE.get(action_type) if isinstance(action_type, str) else None
    if action is None:
        hint = nearest(action_type[:LONGEST_SHOWN], _BY_TYPE) if isinstance(action_type, str) else ""
        known = ", ".join(sorted(_BY_TYPE))
        raise WorkflowError(f"{path}.type", f"expected one of {known}; found {found(action_type)}{hint}")
    try:
        return action.model_validate(dict(parameters))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = problems[0]
        raise WorkflowError(joined(path, *first["loc"]), _problem(first, action), more=len(problems) - 1) from error


def _problem(error: ErrorDetails, action: type[Action]) -> str:
    """Return what is wrong, what was expected and what was found, on one line."""
    match error["type"]:
        case "extra_forbidden":
            known = [field.alias or name for name, field in action.model_fields.items()]
            hint = nearest(str(error["loc"][-1])[:LONGEST_SHOWN], known)
            return f"unknown parameter{hint}; {action.type} takes {', '.join(known) or 'none'}"
        case "missing":
            return f"expected a value, which {action.type} needs, found nothing"
        case "literal_error":
            return f"expected {error['ctx']['expected']}, found {found(error['input'])}"
    message = error["msg"]
    if message.startswith("expected "):
        return message
    subject, _, rest = message.partition(" should ")
    expected = f"expected {subject.lower()} to {rest}" if rest else message
    return f"{expected}, found {found(error['input'])}"
