"""Explain why MongoDB refused a write, without the values of the write, which may be secret."""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

_PROBLEM_CHARACTERS: Final = 300
_REASONS: Final[Mapping[int, str]] = {
    2: "a value or a name that it does not take",
    28: "a parent of the field is not a document",
    40: "two writes to the same field",
    52: "a field name that it does not take",
    66: "an immutable field",
    121: "document validation failed",
    10334: "the document would be larger than 16 MB",
    11000: "a document with this key exists",
    17280: "a key that is too long",
    17419: "the document would be larger than 16 MB",
}


def refusal_text(error: PyMongoError) -> str:
    """Return a sentence with the reason and the server's code."""
    code = error.code if isinstance(error, OperationFailure) else None
    if isinstance(error, BulkWriteError) and error.details:
        failures: list[Mapping[str, Any]] = error.details.get("writeErrors") or []
        code = failures[0].get("code") if failures else code
    if code is None:
        return f"the database refused the write: {type(error).__name__}"
    return f"the database refused the write: {_REASONS.get(code, 'see its manual')} (code {code})"


def problem_of(error: Exception) -> str:
    """Return the text of an error; of MongoDB's errors without any value of the write."""
    text = refusal_text(error) if isinstance(error, PyMongoError) else str(error)[:_PROBLEM_CHARACTERS]
    return f"{type(error).__name__}: {text}"
