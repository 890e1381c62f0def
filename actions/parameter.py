"""The types of parameters that several actions take, and how they are read from a workflow document."""

from datetime import timedelta
from typing import Annotated, Any

from bson import ObjectId
from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

from config.duration import parse_duration
from config.error import WorkflowError
from rules.field import parse_field


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
    try:
        return parse_field(raw, "")
    except WorkflowError as error:
        raise PydanticCustomError("field_path", "{problem}", {"problem": error.problem}) from error


# A number of seconds or a text such as "5m".
Duration = Annotated[timedelta, BeforeValidator(_duration)]

# The dotted path of a field of the entity.
FieldPath = Annotated[str, BeforeValidator(_field_path)]

# Who something is for, in the type the CRM uses for its people; kept as it is given.
PersonId = Annotated[str | int | ObjectId, PlainValidator(_person_id)]
