"""What commands print: a table for a person, lines with tabs for a pipe, JSON for a program."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final
from unicodedata import category

import typer

from daemon.admin.json_form import to_json


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(to_json(value), ensure_ascii=False, indent=2))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print rows; ``columns`` is key → heading, in order. JSON holds every key, not just the columns."""
    if as_json:
        print_json(list(rows))
        return
    texts = [[_text(row.get(key)) for key in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in (list(columns.values()), *texts):
            typer.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in line))
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
    shown = to_json(document)
    if as_json:
        print_json(shown)
        return
    width = max((len(key) for key in shown), default=0)
    for key, value in shown.items():
        typer.echo(f"{key:{width}}  {_text(value)}")


def _text(value: Any) -> str:
    shown = to_json(value)
    if shown is None:
        return ""
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    return "".join(_REPLACEMENT if _steers(each) else each for each in text)


def _steers(character: str) -> bool:
    """Return whether a character acts on the terminal, or on the order of what stands around it."""
    return character in _TURNING or (category(character) == "Cc" and character not in "\n\t")


_REPLACEMENT: Final = "\ufffd"
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_STYLES = {
    "active": "green",
    "completed": "green",
    "ok": "green",
    "paused": "yellow",
    "held": "yellow",
    "warning": "yellow",
    "failed": "red",
    "stopped": "red",
}
