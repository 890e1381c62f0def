"""Log lines: one JSON object or one readable line a record, whatever the values are."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, MinKey, ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from config.line_budget import LineBudget
from config.log import LogFormat, configure_logging
from config.plain import plain
from config.redaction import redacted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Lines:
    """The lines that were written since the set-up."""

    def __init__(self, log_format: LogFormat, level: str = "DEBUG", *, is_terminal: bool = False) -> None:
        self.stream = Terminal() if is_terminal else io.StringIO()
        configure_logging(log_format, level, "1.2.3", self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return line


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    yield
    logger.remove()
    logging.basicConfig(handlers=[], force=True)


def say(level: str = "INFO", message: str = "Something happened.", **fields: object) -> None:
    logger.bind(event="thing.happened", fields=fields).log(level, message)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("not me")


def test_a_json_line_has_the_fields_of_the_common_schema() -> None:
    lines = Lines(LogFormat.JSON)
    say(execution_id=ObjectId("64b000000000000000000001"))
    line = lines.last
    assert datetime.fromisoformat(line.pop("@timestamp")).tzinfo is not None
    assert isinstance(line.pop("process.pid"), int)
    assert line == {
        "log.level": "info",
        "message": "Something happened.",
        "event.action": "thing.happened",
        "service.name": "reflexd",
        "service.version": "1.2.3",
        "ecs.version": "8.17",
        "reflexd.execution_id": "64b000000000000000000001",
    }


@pytest.mark.parametrize(("is_terminal", "is_json"), [(True, False), (False, True)])
def test_auto_is_json_unless_a_person_is_watching(is_terminal: bool, is_json: bool) -> None:
    lines = Lines(LogFormat.AUTO, is_terminal=is_terminal)
    say()
    assert lines.text.startswith("{") is is_json


def test_a_console_line_is_readable_and_stays_one_line() -> None:
    lines = Lines(LogFormat.CONSOLE)
    say("WARNING", name="Ana\nERROR forged", count=3)
    assert lines.text.count("\n") == 1
    assert lines.text.split("  ", 1)[1] == (
        "WARNING  thing.happened  Something happened. name=Ana\\nERROR forged count=3\n"
    )


def test_colours_are_for_terminals_and_not_for_those_who_refuse_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = Lines(LogFormat.CONSOLE, is_terminal=True)
    say()
    monkeypatch.setenv("NO_COLOR", "1")
    plain_lines = Lines(LogFormat.CONSOLE, is_terminal=True)
    say()
    assert ("\x1b[" in coloured.text, "\x1b[" in plain_lines.text) == (True, False)


def test_nothing_below_the_level_is_written() -> None:
    lines = Lines(LogFormat.JSON, "WARNING")
    say("INFO")
    assert lines.text == ""


def test_an_error_carries_type_message_and_stack() -> None:
    lines = Lines(LogFormat.JSON)
    try:
        raise ValueError("wrong colour")
    except ValueError as error:
        say("ERROR", error=error)
    assert (lines.last["error.type"], lines.last["error.message"]) == ("ValueError", "wrong colour")
    assert "raise ValueError" in lines.last["error.stack_trace"]


def test_an_expected_error_comes_without_its_stack() -> None:
    lines = Lines(LogFormat.JSON)
    try:
        raise ValueError("wrong colour")
    except ValueError as error:
        say("WARNING", error=error)
    assert "error.stack_trace" not in lines.last


def test_a_stack_shows_no_local_values() -> None:
    lines = Lines(LogFormat.JSON)
    password = "hunter2"
    try:
        raise ValueError("wrong" if password else "right")
    except ValueError as error:
        say("ERROR", error=error)
    assert "hunter2" not in lines.text


def test_the_exception_that_a_library_logs_is_shown() -> None:
    lines = Lines(LogFormat.JSON)
    try:
        raise OSError("no route")
    except OSError:
        logging.getLogger("library").exception("It broke for %s {braces}", "reasons")
    assert lines.last["message"] == "It broke for reasons {braces}"
    assert (lines.last["reflexd.logger"], lines.last["error.message"]) == ("library", "no route")


def test_libraries_are_heard_from_warning_on_even_when_they_format_wrongly() -> None:
    lines = Lines(LogFormat.JSON)
    logging.getLogger("library").info("quiet")
    assert lines.text == ""
    logging.getLogger("library").warning("%s and %s", "one")
    assert lines.last["message"] == "%s and %s"


def test_a_line_is_utf_8_whatever_the_locale_says() -> None:
    written = io.BytesIO()
    configure_logging(LogFormat.JSON, "INFO", "1.2.3", io.TextIOWrapper(written, encoding="ascii"))
    say(message="🎉")
    assert json.loads(written.getvalue().decode("utf-8"))["message"] == "🎉"


def test_a_line_that_nobody_listens_to_fails_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(LogFormat.JSON)
    lines.stream.close()
    say()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb://ana:hunter2@db:27017/crm", "mongodb://ana:***@db:27017/crm"),
        ("mongodb+srv://ana:hunter2@db", "mongodb+srv://ana:***@db"),
        ("mongodb://ana:hun@ter/2@db", "mongodb://ana:***@db"),
        ("at smtp://:hunter2@mail, twice", "at smtp://:***@mail, twice"),
        ("mongodb://db:27017/crm", "mongodb://db:27017/crm"),
        ("a.pt: ana@b.pt", "a.pt: ana@b.pt"),
    ],
)
def test_passwords_in_uris_are_removed(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize("place", ["message", "field", "error", "stack", "nested"])
def test_no_part_of_a_line_shows_a_password(place: str) -> None:
    uri = "mongodb://ana:hunter2@db"
    for log_format in (LogFormat.JSON, LogFormat.CONSOLE):
        lines = Lines(log_format)
        try:
            raise ValueError(uri)
        except ValueError as error:
            said: dict[str, Any] = {
                "message": {"message": uri},
                "field": {"at": uri},
                "error": {"error": uri},
                "stack": {"error": error},
                "nested": {"at": [{uri: uri}]},
            }
            say("ERROR", **said[place])
        assert "ana:***@db" in lines.text
        assert "hunter2" not in lines.text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ObjectId("64b000000000000000000001"), "64b000000000000000000001"),
        (datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC), "2026-01-02T03:04:05.678Z"),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=1))), "2026-01-02T02:00:00.000Z"),
        (datetime.fromisoformat("2026-01-02T03:00:00"), "2026-01-02T03:00:00.000Z"),
        (float("nan"), "nan"),
        (2**64, "<integer of 65 bits>"),
        (True, True),
        (b"\xff\xfe", "<2 bytes>"),
        ("a\ud800b", "a?b"),
        ({1: {2: {3: {4: {5: 6}}}}}, {"1": {"2": {"3": {"4": "…"}}}}),
        (Hostile(), "<unprintable Hostile>"),
        ([Hostile(), 1], ["<unprintable Hostile>", 1]),
        (Decimal128("1.50"), "1.50"),
    ],
)
def test_a_value_becomes_plain_data(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_a_long_text_is_cut() -> None:
    shown = plain("x" * 1_000_000)
    assert shown == "x" * 2_000 + "… (1000000 characters)"


def test_a_document_that_holds_itself_is_cut() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    json.dumps(plain(endless))


odd_values = st.recursive(
    st.one_of(
        st.text(st.characters(codec=None, categories=None)),  # surrogates too
        st.binary(),
        st.integers(),
        st.floats(),
        st.datetimes(),
        st.builds(Hostile),
        st.sampled_from([MinKey(), Regex("^a"), ObjectId(), Decimal128("NaN")]),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(value=odd_values)
def test_a_line_never_fails_on_odd_values(value: object) -> None:
    for log_format in (LogFormat.JSON, LogFormat.CONSOLE):
        lines = Lines(log_format)
        say(value=value, error=ValueError(value))
        assert lines.text.count("\n") == 1
        assert "thing.happened" in lines.text


def test_a_library_gets_a_few_lines_a_second_and_what_was_left_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("config.log.BUDGET", LineBudget())
    monkeypatch.setattr("config.log.time.monotonic", lambda: now[0])
    lines = Lines(LogFormat.JSON)
    for number in range(1000):
        logging.getLogger("noisy").error("Invalid HTTP request received: %d", number)
    logging.getLogger("other").warning("heard")
    assert len(lines.text.splitlines()) == 11
    now[0] += 1
    logging.getLogger("other").warning("heard again")
    told = [json.loads(line) for line in lines.text.splitlines()[11:]]
    assert [(line["event.action"], line.get("reflexd.count")) for line in told] == [
        ("log.left_out", 990),
        ("library", None),
    ]
    assert told[0]["reflexd.left_out"] == "library noisy"


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_nothing_in_a_line_or_in_its_stack_steers_a_terminal(log_format: LogFormat) -> None:
    lines = Lines(log_format)
    hostile = "\x1b]0;owned\x07\x7f\x9b31m\u202e\r"
    try:
        raise ValueError(hostile)
    except ValueError as error:
        say("ERROR", message=hostile, value={hostile: [hostile]}, error=error)
    assert "Traceback" in lines.text
    assert [each for each in lines.text if not each.isprintable() and each != "\n"] == []


CRASHING = """
import asyncio, gc, sys, threading, warnings
from config.interpreter import capture_interpreter
from config.line_budget import LineBudget
from config.log import LogFormat, configure_logging
configure_logging(LogFormat.JSON, "INFO", "1")
capture_interpreter()
warnings.warn("mongodb://ana:hunter2@db")
class Bad:
    def __del__(self):
        raise RuntimeError("in del")
Bad()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
async def fails():
    raise RuntimeError("in task")
async def main():
    asyncio.get_running_loop().create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
asyncio.run(main())
raise RuntimeError("mongodb://ana:hunter2@db")
"""


def test_what_the_interpreter_says_is_a_json_line_each() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", CRASHING], cwd=root, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line.get("reflexd.logger", line["event.action"]) for line in lines] == [
        "python.warnings",
        "python.unraisable",
        "python.thread",
        "asyncio",
        "process.crashed",
    ]
    assert all("error.stack_trace" in line for line in lines[1:])
    assert (done.returncode, "hunter2" in done.stderr) == (1, False)
