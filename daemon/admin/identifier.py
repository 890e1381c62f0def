"""Write ids as text and read them back, the same way on every surface, whatever their type.

``id_text`` writes an id. ``readings`` returns the ids that a text may mean, the likeliest first; for a text written by
``id_text`` the first reading is that id. An ObjectId is written as its 24 digits, a number as itself, a text as itself
unless another id is written so (then in quotation marks), every other type as Extended JSON such as ``{"$uuid": "…"}``.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from bson import Binary, Code, Decimal128, ObjectId
from pymongo.asynchronous.collection import AsyncCollection

from daemon.admin.extended_json import WrongWrapper, instant_of
from daemon.admin.json_form import from_json, parse_json, to_json
from daemon.admin.problem import Malformed
from rules.identity import can_be_id

LONGEST_ID: Final = 16_000  # characters; a request's head has room for it
_WHOLE: Final = re.compile("0|-?[1-9][0-9]{0,18}")
_LARGEST: Final = 2**63
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40}([eE][+-]?[0-9]{1,3})?|[eE][+-]?[0-9]{1,3})")
_UUID: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,15}(Z|[+-][0-9:]{2,6})?")
_UUID_SUBTYPE: Final = 4
_WORDS: Final[Mapping[str, Any]] = {"null": None, "true": True, "false": False}
_PATH_STEPS: Final = (".", "..")  # clients remove them from a path

# The fields of records that hold ids, and the fields that hold further records.
_ID_FIELDS: Final = frozenset(
    ("_id", "id", "workflow_id", "entity_id", "triggered_by_entity_id", "execution_id", "request_id")
)
_RECORDS: Final = frozenset(("entries", "executions", "decisions", "entities", "causes", "workflow", "entity", "cause"))

Document = dict[str, Any]


def readings(text: str) -> list[Any]:
    """Return the ids that a text may mean, the likeliest first; raise Malformed if it can mean none."""
    if not 0 < len(text) <= LONGEST_ID or any("\ud800" <= character <= "\udfff" for character in text):
        raise Malformed("id", f"expected the id of a document, 1 to {LONGEST_ID} characters")
    if text.startswith("{"):
        return [_extended(text)]
    if text.startswith('"') and (quoted := _quoted(text)) is not None:
        return [quoted]
    if text in _WORDS:
        return [_WORDS[text], text]
    if ObjectId.is_valid(text):
        return [ObjectId(text), text]
    if _WHOLE.fullmatch(text) and -_LARGEST <= int(text) < _LARGEST:
        return [int(text), text]
    if _DECIMAL.fullmatch(text):
        return [float(text), Decimal128(text), text]
    if _UUID.fullmatch(text):
        return [text, Binary(UUID(text).bytes, _UUID_SUBTYPE)]
    return [text, *_dates(text)]


def id_text(value: Any) -> str:
    """Return the text that stands for an id, whatever its type."""
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, str) and not isinstance(value, Code):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and value - value == 0:
        return repr(float(value))
    return json.dumps(to_json(value, is_exact=True), ensure_ascii=False, separators=(",", ":"))


def exactly(value: Any) -> Document:
    """Return the part of a query that finds a field with this id and no other: a missing field is not null."""
    return {"$type": "null"} if value is None else {"$eq": value}


async def meant(collection: AsyncCollection[Any], field: str, text: str, also: Mapping[str, Any]) -> Any:
    """Return the first reading of an id that some document, which ``also`` finds too, has in the field."""
    *likelier, last = readings(text)
    for reading in likelier:
        if await collection.find_one({**also, field: exactly(reading)}, {"_id": 1}) is not None:
            return reading
    return last


def record_json(record: Mapping[str, Any], show: Callable[[Any], Any] = to_json) -> Document:
    """Return a record of the daemon's as JSON data: ids as their text, also those of the records within it."""
    return {str(key): _part_json(str(key), value, show) for key, value in record.items()}


def _part_json(key: str, value: Any, show: Callable[[Any], Any]) -> Any:
    if key in _ID_FIELDS:
        return id_text(value)
    if key in _RECORDS and isinstance(value, Mapping):
        return record_json(value, show)
    if key in _RECORDS and isinstance(value, list):
        return [record_json(each, show) if isinstance(each, Mapping) else show(each) for each in value]
    return show(value)


def _is_plain(text: str) -> bool:
    """Return whether a text, printed as it is, is read as itself."""
    if text in _PATH_STEPS or not text.isprintable():
        return False
    try:
        first = readings(text)[0]
    except Malformed:
        return len(text) > LONGEST_ID
    return type(first) is str and first == text


def _quoted(text: str) -> str | None:
    """Return the text that a JSON string spells, None where ``text`` is no JSON string but begins like one."""
    try:
        found = json.loads(text)
        found.encode()
    except (ValueError, AttributeError):
        return None
    return str(found)


def _extended(text: str) -> Any:
    try:
        found = from_json(parse_json(text))
    except (ValueError, Malformed) as error:
        raise Malformed("id", f"expected the id of a document as Extended JSON: {error}") from error
    if not can_be_id(found):
        raise Malformed("id", "expected the id of a document, found a value that MongoDB takes for none")
    return found


def _dates(text: str) -> list[Any]:
    if not _DATE.fullmatch(text):
        return []
    try:
        return [instant_of(text)]
    except WrongWrapper:
        return []
