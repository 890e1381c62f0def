"""What is wrong with the settings, one line a problem: the name, what was expected, what was found.

No line shows the value of a secret setting, nor a password in a URI.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, DotEnvSettingsSource

from config.error import ConfigError, nearest
from config.found import found
from config.redaction import redacted

# Kubernetes describes every Service called reflexd… to its pods by variables that look like ours.
_SERVICE_LINK: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")
_READ_ELSEWHERE: Final = ("REFLEXD_CRASH_AT",)  # by daemon.crash_point, for tests only


def unknown_variables(model: type[BaseSettings], prefix: str) -> list[str]:
    """Return a problem for every variable, of the process or in ``.env``, with our prefix that no setting reads."""
    dotenv = {name: value or "" for name, value in DotEnvSettingsSource(model).env_vars.items()}
    known = [*variable_names(model, prefix), *_READ_ELSEWHERE]
    return [
        f"{name.upper()}: expected the name of a setting, found an unknown one{nearest(name.upper(), known)}"
        for name, value in sorted({**dotenv, **os.environ}.items())
        if name.upper().startswith(prefix) and name.upper() not in known and not _is_service_link(name, value)
    ]


def unknown_in_file(model: type[BaseSettings], values: Mapping[str, object]) -> list[str]:
    """Return a problem for every top-level key of the file that is no setting; deeper ones are the model's to judge."""
    known = list(model.model_fields)
    return [
        f"{name}: expected the name of a setting, found an unknown one{nearest(name, known)}"
        for name in values
        if name not in known
    ]


def invalid_values(model: type[BaseModel], error: ValidationError, prefix: str) -> list[str]:
    """Return a problem for every value that the model refused."""
    return [_problem(model, details, prefix) for details in error.errors(include_url=False)]


def variable_names(model: type[BaseModel], prefix: str) -> Iterable[str]:
    """Yield the name of every variable that the settings are read from."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}".upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from variable_names(field.annotation, f"{prefix}{name}__")


def read_toml(path: Path) -> dict[str, Any]:
    """Return what the settings file holds; raise ConfigError when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: expected a settings file, found none: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML: the message names line and column
        raise ConfigError(f"{path}: expected TOML: {error}") from error


def json_object(text: str) -> object:
    """Return the JSON object that a variable holds; raise ValueError otherwise."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError('expected a JSON object such as {"lead": "leads"}') from error
    if not isinstance(value, dict):
        raise ValueError('expected a JSON object such as {"lead": "leads"}')
    return value


def json_list(text: str) -> object:
    """Return the JSON list that a variable holds; raise ValueError otherwise."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError("expected a JSON list of objects") from error
    if not isinstance(value, list):
        raise ValueError("expected a JSON list of objects")
    return tuple(value)


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.search(name.upper()) or _SERVICE_ADDRESS.match(value))


def _problem(model: type[BaseModel], details: ErrorDetails, prefix: str) -> str:
    path = [str(part) for part in details["loc"]]
    expected = details["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    if not path:  # the settings as a whole: the message names the ones it means
        return expected
    variable = f"{prefix}{'__'.join(path)}".upper()
    if details["type"] == "extra_forbidden":
        known = variable_names(model, prefix)
        return f"{variable}: expected the name of a setting, found an unknown one{nearest(variable, known)}"
    value = "a value not shown" if _is_secret(model, path[0]) else redacted(found(details["input"]))
    return f"{variable}: {expected}; found {value}"


def _is_secret(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is None or field.annotation in (SecretStr, SecretStr | None)
