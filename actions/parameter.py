"""The types of parameters that several actions take, and how they are read from a workflow document."""

from datetime import timedelta
from typing import Annotated, Any, Final

from bson import ObjectId
from pydantic import BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from config.duration import parse_duration
from config.error import WorkflowError
from rules.field import parse_field

_LARGEST_EXACT: Final = 2**53  # of the whole numbers, as a double


def _duration(raw: Any) -> timedelta:
    if isinstance(raw, timedelta):
        return raw
    try:
        return parse_duration(raw, "")
    except WorkflowError as error:
        raise PydanticCustomError("duration", "{problem}", {"problem": error.problem}) from error


def _person_id(raw: Any) -> Any:
    # An integer, of a CRM whose driver knows only doubles; a larger one may have been another number.
    is_whole = isinstance(raw, float) and raw.is_integer() and abs(raw) <= _LARGEST_EXACT
    if isinstance(raw, bool) or not (is_whole or isinstance(raw, str | int | ObjectId)):
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


# What the parsers of config.duration and rules.field take, for the API's description.
DURATION_SCHEMA: Final[dict[str, Any]] = {
    "description": "A number of seconds, or a text such as 90s, 5m, 2h, 3d or 1h30m.",
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 315_360_000},
        {"type": "string", "pattern": "^([0-9]{1,8}|[0-9]{1,2}w|[0-9]{1,3}[dhms]|[0-9]{1,3}h[0-9]{1,3}m)$"},
    ],
}
FIELD_SCHEMA: Final[dict[str, Any]] = {
    "description": "The dotted path of a field.",
    "type": "string",
    "maxLength": 500,
    "pattern": "^[^.$\\u0000][^.\\u0000]*(\\.[^.$\\u0000][^.\\u0000]*){0,20}$",
}

# A number of seconds or a text such as "5m".
Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(DURATION_SCHEMA)]

# The dotted path of a field of the entity.
FieldPath = Annotated[str, BeforeValidator(_field_path), WithJsonSchema(FIELD_SCHEMA)]

# Who something is for, in the type the CRM uses for its people; kept as it is given.
PersonId = Annotated[
    str | int | float | ObjectId,
    PlainValidator(_person_id),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}]}),
]
