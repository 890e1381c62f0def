"""The reference pages that are made from the code: ``docs/LOGS.md`` and ``docs/SETTINGS.md``.

``make docs`` writes them; a test holds the committed pages to the code.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.collection_names import Collections
from config.limits import Limits
from config.settings import PREFIX, UNPREFIXED, Settings
from daemon.event import Event

_LOGS: Final = """# Log events

Made from `daemon/event.py` by `make docs`. Every line that reflexd writes is one of these events: in `event.action` of
a JSON line, in the third column at a terminal. A JSON line follows the Elastic Common Schema: `@timestamp`,
`log.level`, `message`, `event.action`, `service.name`, `service.version`, `process.pid`, `ecs.version`; the fields
below as `reflexd.<field>`, and `error` as `error.type`, `error.message` and, from level error on, `error.stack_trace`.
Ids are strings.

| event | level | fields | meaning |
|---|---|---|---|
"""
_SETTINGS: Final = """# Settings

Made from `config/settings.py` by `make docs`. First found wins: a variable, the file `.env` in the working directory
(refused where others may write it or its directory), the TOML file of `--config` (there the name is the variable's,
lower case, without `REFLEXD_`), the default. Names that end in `_s` are in seconds. Unless a line says otherwise, a
setting is changed by whoever deploys, and takes effect at the next start.

| variable | default | meaning |
|---|---|---|
"""
_COLLECTIONS: Final = """
The names of the collections, in the TOML file under `[collections]`:

| variable | default | what is in it |
|---|---|---|
"""
_LIMITS: Final = """
Limits on steps that reach outside MongoDB, each in one replica; in the TOML file under `[limits]`. A step for which a
limit is full waits for its turn, one workflow after another, and no attempt is counted. Of each workflow 1,000 wait in
memory; while one has more, what is due is found by looking, so steps may begin some seconds late:

| variable | default | meaning |
|---|---|---|
"""


def pages() -> Mapping[str, str]:
    """Return file name → text of every page."""
    return {"LOGS.md": _logs(), "SETTINGS.md": _settings()}


def _logs() -> str:
    return _LOGS + "\n".join(_row(event) for event in sorted(Event)) + "\n"


def _row(event: Event) -> str:
    fields = " ".join(f"`{field}`" for field in event.field_names)
    return f"| `{event}` | {event.level.lower()} | {fields} | {event.meaning} |"


def _settings() -> str:
    return (
        _SETTINGS
        + "\n".join(_rows(Settings, PREFIX))
        + "\n"
        + _COLLECTIONS
        + "\n".join(_rows(Collections, f"{PREFIX}COLLECTIONS__"))
        + "\n"
        + _LIMITS
        + "\n".join(_rows(Limits, f"{PREFIX}LIMITS__"))
        + "\n"
    )


def _rows(model: type[BaseModel], prefix: str) -> Iterable[str]:
    for name, field in model.model_fields.items():
        variable = name.upper() if name.upper() in UNPREFIXED else f"{prefix}{name.upper()}"
        yield f"| `{variable}` | {_default_of(field)} | {field.description} |"


def _default_of(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if isinstance(value, Mapping):
        return f"`{json.dumps(dict(value))}`"
    return f"`{value.value if isinstance(value, StrEnum) else json.dumps(value, default=str).strip(chr(34))}`"


def main() -> None:
    """Write the pages into the directory that the first argument names."""
    directory = Path(sys.argv[1])
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
