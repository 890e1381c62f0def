"""The actions this version knows, and how a step's parameters become one of them.

A new action is one new file and one line in ``ACTIONS``.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from actions.action import Action
from actions.create_task import CreateTask
from actions.send_notification import SendNotification
from actions.update_field import UpdateField
from config.error import WorkflowError, nearest

ACTIONS: Final[tuple[type[Action], ...]] = (
    CreateTask,
    SendNotification,
    UpdateField,
)

_BY_TYPE: Final[Mapping[str, type[Action]]] = {action.type: action for action in ACTIONS}
_FOUND_CHARACTERS: Final = 80


def parse_action(action_type: object, parameters: Mapping[str, Any], path: str) -> Action:
    """Return the action of this type with these parameters.

    ``path`` is where the step stands in the workflow document, for example ``actions[1]``. Raises WorkflowError
    with the path of the first wrong parameter, and how many more are wrong.
    """
    action = _BY_TYPE.get(action_type) if isinstance(action_type, str) else None
    if action is None:
        hint = nearest(action_type, _BY_TYPE) if isinstance(action_type, str) else ""
        known = ", ".join(sorted(_BY_TYPE))
        raise WorkflowError(f"{path}.type", f"expected one of {known}, found {_found(action_type)}{hint}")
    try:
        return action.model_validate(dict(parameters))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        first = problems[0]
        raise WorkflowError(_path(path, first["loc"]), _problem(first, action) + more) from error


def _path(path: str, location: tuple[int | str, ...]) -> str:
    for name in location:
        path += f"[{name}]" if isinstance(name, int) else f".{name[:_FOUND_CHARACTERS]}"
    return path


def _problem(error: ErrorDetails, action: type[Action]) -> str:
    """Return what is wrong, what was expected and what was found, on one line."""
    match error["type"]:
        case "extra_forbidden":
            known = ", ".join(action.model_fields) or "none"
            return (
                f"unknown parameter{nearest(str(error['loc'][-1]), action.model_fields)}; {action.type} takes {known}"
            )
        case "missing":
            return f"expected a value, which {action.type} needs, found nothing"
        case "literal_error":
            return f"expected {error['ctx']['expected']}, found {_found(error['input'])}"
    message = error["msg"]
    if message.startswith("expected "):
        return message
    subject, _, rest = message.partition(" should ")
    expected = f"expected {subject.lower()} to {rest}" if rest else message
    return f"{expected}, found {_found(error['input'])}"


def _found(value: Any) -> str:
    # A string is cut before it is quoted: it may be megabytes long.
    if isinstance(value, str | bytes):
        text = repr(value[:_FOUND_CHARACTERS])
    elif value is None or isinstance(value, bool | int | float):
        text = repr(value)[:_FOUND_CHARACTERS]
    else:
        return type(value).__name__
    return f"{text} ({type(value).__name__})"
