"""What commands print: nothing from a document acts on the terminal, and JSON is always JSON."""

import ast
import io
import json
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, MaxKey, ObjectId, Regex
from typer.testing import CliRunner

from daemon.cli import app
from daemon.commands.output import print_document, print_json, print_rows, say

HOSTILE = "\x1b]0;owned\x07\x9b31m[bold red]\u202e\u2066\r\n\tforged"
ROOT = Path(__file__).parents[3]


def assert_harmless(text: str, *, tabs: int = 0) -> None:
    assert [each for each in text if not each.isprintable() and each not in "\n\t"] == []
    assert text.count("\t") == tabs
    assert "\nforged" not in text


@pytest.mark.parametrize("is_terminal", [False, True])
def test_keys_and_values_of_documents_are_shown_escaped(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERM", "dumb")
    document = {HOSTILE: HOSTILE, "nested": {HOSTILE: [{HOSTILE: HOSTILE}]}}
    print_document(document, as_json=False)
    print_rows([document, {"nested": HOSTILE}], {"nested": "nested", HOSTILE: "other"}, as_json=False)
    say(HOSTILE.replace("\n", ""))
    shown = capsys.readouterr().out
    assert_harmless(shown, tabs=0 if is_terminal else 3)
    assert "[bold red]" in shown


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_of_odd_documents_can_be_read_back(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document: dict[str, Any] = {
        HOSTILE: HOSTILE,
        "é": "\ud800",
        "numbers": [float("nan"), float("inf"), Decimal128("NaN"), Int64(2**62)],
        "others": [MaxKey(), Regex("a\x1b"), b"\xff", ObjectId()],
    }
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding, write_through=True))
    print_json(document)
    said = written.getvalue().decode(encoding)
    assert json.loads(said)[HOSTILE] == HOSTILE
    assert_harmless(said)


@pytest.mark.parametrize("arguments", [[HOSTILE], ["run", f"--{HOSTILE}"], ["workflows", HOSTILE], ["run", HOSTILE]])
def test_wrong_usage_is_repeated_escaped(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, "forged" in result.stderr) == (2, True)
    assert_harmless(result.stderr)


@pytest.mark.parametrize("path", ["daemon/commands", "daemon/cli.py", "daemon/__main__.py"])
def test_commands_print_through_the_output_layer_only(path: str) -> None:
    files = sorted((ROOT / path).glob("*.py")) or [ROOT / path]
    for file in files:
        if file.name == "output.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not (used | names) & {"echo", "secho", "stdout", "print"}, file
