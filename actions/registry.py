"""The actions this version knows, and how a step's parameters become one of them.

A new action is one new file and one line in ``ACTIONS``.
"""

from collections.abc import Mapping
from typing import Any, Final

from actions.action import Action
from actions.create_task import CreateTask
from actions.enrich_lead import EnrichLead
from actions.qualify_lead import QualifyLead
from actions.send_email import SendEmail
from actions.send_notification import SendNotification
from actions.update_field import UpdateField
from config.error import WorkflowError, nearest
from config.found import LONGEST_SHOWN, found
from rules.validation import validated

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
    return validated(action, parameters, path)
