"""Describe each problem of the settings on one line: the name, the expected value and the value found.

No line shows any part of the value of a secret setting (``config.secret``), nor a password in a URI.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, DotEnvSettingsSource

from config.api_token import ApiToken
from config.error import ConfigError, nearest
from config.found import found, name_of
from config.redaction import redacted
from config.secret import Secret

# Kubernetes describes every Service called reflexd… to its pods by variables that look like ours.
_SERVICE_LINK: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")
_TOML_PLACE: Final = re.compile(r"\(at (line \d+, column \d+|end of document)\)")
_READ_ELSEWHERE: Final = ("REFLEXD_CRASH_AT",)  # by daemon.crash_point, for tests only


def unknown_variables(model: type[BaseSettings], prefix: str) -> list[str]:
    """Return a problem for every variable, of the process or in ``.env``, with our prefix that no setting reads."""
    dotenv = DotEnvSettingsSource(model).env_vars
    known = [*variable_names(model, prefix), *_READ_ELSEWHERE]
    # A line without = is no name: it may be a secret that belongs to the line before.
    nameless = any(value is None and name.upper().startswith(prefix) for name, value in dotenv.items())
    named = {name: value for name, value in dotenv.items() if value is not None}
    return [".env: expected NAME=value, found a line without ="] * nameless + [
        f"{name_of(name.upper())}: expected the name of a setting, found an unknown one{nearest(name.upper(), known)}"
        for name, value in sorted({**named, **os.environ}.items())
        if name.upper().startswith(prefix) and name.upper() not in known and not _is_service_link(name, value)
    ]


def unknown_in_file(model: type[BaseSettings], values: Mapping[str, object]) -> list[str]:
    """Return a problem for every top-level key of the file that is no setting; deeper ones are the model's to judge."""
    known = list(model.model_fields)
    return [
        f"{name_of(name)}: expected the name of a setting, found an unknown one{nearest(name, known)}"
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
    shown = redacted(name_of(str(path)))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{shown}: expected a settings file, found none: {error.strerror}") from None
    except UnicodeError:
        raise ConfigError(f"{shown}: expected TOML in UTF-8, found other bytes") from None
    except (ValueError, RecursionError) as error:  # the message may quote what stands there: only the place is told
        place = _TOML_PLACE.search(str(error))
        raise ConfigError(f"{shown}: expected TOML, found something else{' ' + place[0] if place else ''}") from None


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.search(name.upper()) or _SERVICE_ADDRESS.match(value))


def _problem(model: type[BaseModel], details: ErrorDetails, prefix: str) -> str:
    path = [name_of(part) for part in details["loc"]]
    expected = details["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    if not path:  # the settings as a whole: the message names the ones it means
        return expected
    name, is_secret = _setting_named(model, path[0], prefix)
    if is_secret:
        entry = "".join(f", entry {int(part) + 1}" for part in path[1:2] if part.isdigit())
        within = "".join(f", {part}" for part in path[2:] if part in ApiToken.model_fields)
        if details["type"] == "extra_forbidden":
            expected = f"expected nothing but {', '.join(ApiToken.model_fields)}"
        return f"{name}{entry}{within}: {expected}; found a value that is not shown"
    variable = "__".join([name, *path[1:]]).upper()
    if details["type"] == "extra_forbidden":
        known = variable_names(model, prefix)
        return f"{variable}: expected the name of a setting, found an unknown one{nearest(variable, known)}"
    return f"{variable}: {expected}; found {redacted(found(details['input']))}"


def _setting_named(model: type[BaseModel], name: str, prefix: str) -> tuple[str, bool]:
    """Return the variable of the setting that a problem is about, and whether its value is secret."""
    bare = name.lower().removeprefix(prefix.lower())
    field = model.model_fields[bare]
    is_secret = any(isinstance(each, Secret) for each in field.metadata)
    return bare.upper() if field.validation_alias is not None else f"{prefix}{bare}".upper(), is_secret
