"""Print the results of commands: a table for a person, lines with tabs for a pipe, JSON for a program.

Only this module prints (a test enforces that), so all text reaches a terminal through the escape of
``config.terminal``: anybody may have written the values in documents, arguments and settings.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import typer

from config.terminal import escaped, escaped_json, escaped_lines
from daemon.admin.identifier import record_json
from daemon.admin.json_form import to_json


def say(text: str, *, is_error: bool = False) -> None:
    """Print text for a person, on as many lines as it has."""
    typer.echo(escaped_lines(text), err=is_error)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    text = json.dumps(_shown(value), ensure_ascii=not _is_unicode(sys.stdout), indent=2)
    typer.echo(escaped_json(text))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print rows; ``columns`` is key → heading, in order. JSON holds every key, not just the columns."""
    if as_json:
        print_json(list(rows))
        return
    shown = [record_json({key: row.get(key) for key in columns}) for row in rows]
    texts = [
        ["" if row.get(key) is None else _text(told[key]) for key in columns]
        for row, told in zip(rows, shown, strict=True)
    ]
    if not sys.stdout.isatty():
        for line in (list(columns.values()), *texts):
            typer.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for line in texts:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in line))
    Console().print(table)


def print_document(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one document: a line a key, nested values as JSON."""
    if as_json:
        print_json(document)
        return
    shown = record_json(document)
    lines = [(escaped(key), _text(value)) for key, value in shown.items()]
    width = max((len(key) for key, _ in lines), default=0)
    for key, value in lines:
        typer.echo(f"{key:{width}}  {value}")


def _shown(value: Any) -> Any:
    """Return a value as JSON data; in records, ids are their text."""
    if isinstance(value, Mapping):
        return record_json(value)
    return [_shown(each) for each in value] if isinstance(value, list) else to_json(value)


def _text(shown: Any) -> str:
    if shown is None:
        return ""
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    return escaped(text)


def _is_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


_STYLES = {
    "active": "green",
    "completed": "green",
    "ok": "green",
    "paused": "yellow",
    "held": "yellow",
    "warning": "yellow",
    "failed": "red",
    "stopped": "red",
    "invalid": "red",
}
