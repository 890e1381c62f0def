"""Check the value of one setting: each function returns the value to keep, or raises ValueError.

The message names the expected value and holds no part of the value found, which may be secret.
"""

import json
from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from config.collection_names import checked_collection_name
from config.mongodb_uri import parse_mongodb_uri

DEFAULT_API_PORT: Final = 8484
_SHORTEST_TOKEN: Final = 16


def checked_uri(uri: SecretStr | None) -> SecretStr | None:
    """Return the address without the line break in which a file of secrets ends."""
    if uri is None:
        return None
    bare = uri.get_secret_value().strip()
    parse_mongodb_uri(bare)
    return SecretStr(bare)


def checked_token(token: SecretStr | None) -> SecretStr | None:
    """Return a token that is too long to be found by trying."""
    if token is not None and len(token.get_secret_value()) < _SHORTEST_TOKEN:
        raise ValueError(f"expected at least {_SHORTEST_TOKEN} characters, as `reflexd token` makes")
    return token


def port_unless_service_link(port: object) -> object:
    """Return the port, the default one in the place of an address.

    Kubernetes sets REFLEXD_API_PORT to tcp://… in every pod beside a Service called reflexd-api.
    """
    return DEFAULT_API_PORT if isinstance(port, str) and port.startswith("tcp://") else port


def checked_entities(entities: Mapping[str, str]) -> Mapping[str, str]:
    """Return entity types of which each has a collection of its own."""
    for entity_type, collection in entities.items():
        if not entity_type:
            raise ValueError("expected entity types that are not empty")
        checked_collection_name(collection)
    if len(set(entities.values())) != len(entities):
        raise ValueError("expected a collection of its own for every entity type")
    return entities


def checked_timezone(name: str) -> str:
    """Return the name of a time zone that this machine knows."""
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError("expected an IANA time zone such as Europe/Lisbon") from error
    return name


def in_capitals(value: object) -> object:
    """Return a text in capital letters."""
    return value.upper() if isinstance(value, str) else value


def object_from_json(value: object) -> object:
    """Return the JSON object that a variable holds; a value from the settings file is one already."""
    if not isinstance(value, str):
        return value
    found = _from_json(value)
    if not isinstance(found, dict):
        raise ValueError('expected a JSON object such as {"lead": "leads"}')
    return found


def list_from_json(value: object) -> object:
    """Return the JSON list that a variable holds; a value from the settings file is one already."""
    if not isinstance(value, str):
        return value
    found = _from_json(value)
    if not isinstance(found, list):
        raise ValueError("expected a JSON list of objects")
    return tuple(found)


def _from_json(text: str) -> object:
    """Return the value that a text holds, None where it is no JSON; the parser's own error would repeat the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
