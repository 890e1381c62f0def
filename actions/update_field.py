"""The action ``update_field``: sets one field of the entity."""

from typing import Annotated, Any, ClassVar

import bson
from bson.errors import InvalidDocument
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from actions.action import Action
from actions.context import Context
from actions.outcome import Done, EntityUpdate, Outcome
from actions.parameter import FieldPath


def _not_the_id(field: str) -> str:
    if field.split(".", 1)[0] == "_id":
        raise PydanticCustomError("immutable", "expected a field that can be written, found '_id', which never changes")
    return field


def _encodable(value: Any) -> Any:
    try:
        bson.encode({"value": value})
    except (InvalidDocument, OverflowError, RecursionError, TypeError, ValueError) as error:
        found = type(value).__name__
        raise PydanticCustomError("bson", "expected a BSON value, found {found}", {"found": found}) from error
    return value


class UpdateField(Action):
    """Set ``field``, a dotted path, to ``value``: any BSON value, null too, and never an expression."""

    type: ClassVar[str] = "update_field"

    field: Annotated[FieldPath, AfterValidator(_not_the_id)]
    value: Annotated[Any, AfterValidator(_encodable)]

    async def run(self, context: Context) -> Outcome:
        """Return the update as a write; the result names the field, never the value, which may be confidential."""
        return Done({"field": self.field}, (EntityUpdate({self.field: self.value}),))
