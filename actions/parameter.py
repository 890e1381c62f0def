"""The types of parameters that several actions take, and how they are read from a workflow document."""

from typing import Annotated, Any, Final

from bson import ObjectId
from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from config.found import found
from rules.field import parse_field
from rules.validation import read_by

_LARGEST_EXACT: Final = 2**53  # of the whole numbers, as a double


def _person_id(raw: Any) -> Any:
    # Drivers that know only doubles send integers as doubles; a larger one may have been rounded.
    is_whole = isinstance(raw, float) and raw.is_integer() and abs(raw) <= _LARGEST_EXACT
    if isinstance(raw, bool) or not (is_whole or isinstance(raw, str | int | ObjectId)):
        problem = f"expected a string, an integer or an ObjectId, found {found(raw)}"
        raise PydanticCustomError("person_id", "{problem}", {"problem": problem})
    return raw


# The paths that rules.field accepts, for the description of the API.
FIELD_SCHEMA: Final[dict[str, Any]] = {
    "description": "The dotted path of a field.",
    "type": "string",
    "maxLength": 500,
    "pattern": "^[^.$\\u0000][^.\\u0000]*(\\.[^.$\\u0000][^.\\u0000]*){0,20}$",
}

# The dotted path of a field of the entity.
FieldPath = Annotated[str, read_by(parse_field), WithJsonSchema(FIELD_SCHEMA)]

# A person, in the type that the CRM uses for people; stored as given.
PersonId = Annotated[
    str | int | float | ObjectId,
    PlainValidator(_person_id),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}]}),
]
