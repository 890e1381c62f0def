"""The types of parameters that several actions take, and how they are read from a workflow document."""

from datetime import timedelta
from typing import Annotated, Any

from bson import ObjectId
from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

from config.duration import parse_duration
from config.error import WorkflowError


def _duration(raw: Any) -> timedelta:
    if isinstance(raw, timedelta):
        return raw
    try:
        return parse_duration(raw, "")
    except WorkflowError as error:
        raise PydanticCustomError("duration", "{problem}", {"problem": error.problem}) from error


def _person_id(raw: Any) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, str | int | ObjectId):
        found = type(raw).__name__
        raise PydanticCustomError(
            "person_id", "expected a string, an integer or an ObjectId, found {found}", {"found": found}
        )
    return raw


def _field_path(raw: Any) -> str:
    problem = field_problem(raw)
    if problem:
        raise PydanticCustomError("field_path", "{problem}", {"problem": problem})
    return str(raw)


def field_problem(raw: Any) -> str | None:
    """Return why ``raw`` cannot be the dotted path of a field, or None if it can."""
    if not isinstance(raw, str):
        return f"expected the dotted path of a field, found {type(raw).__name__}"
    if len(raw) > 500:
        return f"expected a path of at most 500 characters, found {len(raw)}"
    if "\0" in raw:
        return "expected a path without NUL characters, found one"
    for name in raw.split("."):
        if not name:
            return f"expected a dotted path without empty names, found {raw!r}"
        if name.startswith("$"):
            return f"expected names that do not start with '$', found {name!r}"
    return None


# A number of seconds or a text such as "5m".
Duration = Annotated[timedelta, BeforeValidator(_duration)]

# The dotted path of a field of the entity.
FieldPath = Annotated[str, BeforeValidator(_field_path)]

# Who something is for, in the type the CRM uses for its people; kept as it is given.
PersonId = Annotated[str | int | ObjectId, PlainValidator(_person_id)]
