"""The catalogue of log events, held to every place in the source that emits one."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from daemon.event import EXECUTION_FIELDS, Event
from daemon.reference import pages

ROOT = Path(__file__).parents[3]
PACKAGES = ("config", "rules", "actions", "daemon")


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of the product, by its path."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def calls_of_emit() -> Iterator[tuple[str, ast.Call, ast.AST]]:
    """Yield every call of ``emit``: its place, itself and the function it stands in."""
    for path, tree in sources().items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "emit":
                    yield f"{path}:{node.lineno}", node, function


def fields_of(call: ast.Call, function: ast.AST) -> set[str]:
    """The fields of the call, those that it spreads with ``**`` among them."""
    fields = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    return fields.union(*(spread(keyword.value, function) for keyword in call.keywords if keyword.arg is None))


def spread(value: ast.expr, function: ast.AST) -> set[str]:
    """The keys of ``**job.names``, which name an execution, or of a dictionary written out in the same function."""
    if isinstance(value, ast.Attribute) and value.attr == "names":
        return set(EXECUTION_FIELDS.split())
    assert isinstance(value, ast.Name)
    written = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == value.id
    ]
    assert len(written) == 1
    assert isinstance(written[0], ast.Dict)
    return {key.value for key in written[0].keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def test_every_emit_names_an_event_with_exactly_its_fields() -> None:
    for place, call, function in calls_of_emit():
        assert len(call.args) == 1, place
        event = call.args[0]
        assert isinstance(event, ast.Attribute), f"{place}: the event is spelled out, so that it can be found"
        assert fields_of(call, function) == set(Event[event.attr].field_names), place


def written_without_emit() -> set[str]:
    """The events that stand as a word in ``logger.bind(event=…)``, where ``emit`` cannot be imported."""
    found: set[str] = set()
    for tree in sources().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "bind":
                found |= {str(word.value.value) for word in node.keywords if isinstance(word.value, ast.Constant)}
    return found


def test_every_event_of_the_catalogue_is_emitted_somewhere() -> None:
    emitted = {Event[call.args[0].attr] for _, call, _ in calls_of_emit() if isinstance(call.args[0], ast.Attribute)}
    written = written_without_emit()
    assert written <= set(Event)
    assert set(Event) - emitted - written == set()


def test_an_event_is_named_after_its_member() -> None:
    assert [event.name for event in Event] == [event.value.upper().replace(".", "_") for event in Event]


def test_no_field_hides_one_of_the_lines_own() -> None:
    reserved = {"event", "fields", "level", "message"}
    assert [event for event in Event if reserved & set(event.field_names)] == []


def test_every_event_says_in_a_sentence_what_it_means() -> None:
    assert [event for event in Event if not event.meaning.endswith(".") or "|" in event.meaning] == []


@pytest.mark.parametrize("name", pages())
def test_the_reference_pages_are_those_that_make_docs_writes(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"


def test_every_setting_that_the_readme_names_exists() -> None:
    words = (ROOT / "README.md").read_text(encoding="utf-8").replace("`", " ").replace(",", " ").split()
    named = {word for word in words if word.startswith("REFLEXD_") and not word.endswith("*")}
    assert named <= {word.strip("`") for word in pages()["SETTINGS.md"].split()}
    assert len(named) > 3
