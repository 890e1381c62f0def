"""Log set-up: one ECS-JSON line per record for log shippers, or a readable line for a person at a terminal.

It promises that a line never fails on odd values, that no line carries the password of a URI or a character that steers
a terminal, and that the log lines of libraries, from WARNING on, come out in the same shape, a few a second of each.
"""

import contextlib
import io
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson
from loguru import logger

from config.line_budget import BUDGET, LIBRARY_LINES_PER_SECOND
from config.plain import plain, plain_text, timestamp
from config.terminal import escaped, escaped_json, escaped_lines

if TYPE_CHECKING:
    from loguru import Message, Record

ECS_VERSION: Final = "8.17"
MAX_STACK: Final = 12_000
_COLOURS: Final = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}


class LogFormat(StrEnum):
    """The shape of a line."""

    AUTO = "auto"  # console when stderr is a terminal, json otherwise
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def configure_logging(log_format: LogFormat, level: str, version: str, stream: TextIO | None = None) -> None:
    """Send every log line from ``level`` on to ``stream`` (stderr), whatever was set up before."""
    target = stream if stream is not None else sys.stderr
    if isinstance(target, io.TextIOWrapper):  # JSON is UTF-8, whatever the locale says
        target.reconfigure(encoding="utf-8", errors="replace")
    is_terminal = target.isatty()
    if log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not is_terminal):
        render = _json_renderer(version)
    else:
        render = _console_renderer(with_colour=is_terminal and "NO_COLOR" not in os.environ)

    def write(message: "Message") -> None:
        with contextlib.suppress(OSError, ValueError):  # the stream is closed or broken: the work goes on without a log
            target.write(render(message.record))
            target.flush()

    logger.remove()
    # Neither backtrace nor diagnose: they would print local values, passwords too. The format is a constant because
    # the sink renders the record itself.
    logger.add(write, level=level, format=lambda _: "", colorize=False, backtrace=False, diagnose=False)
    _written["least"] = logger.level(level).no
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


_written: Final = {"least": 0}  # the number of the level from which on lines are written


def is_written(level: str) -> bool:
    """Return whether lines of ``level`` are written."""
    return logger.level(level).no >= _written["least"]


def _json_renderer(version: str) -> "Callable[[Record], str]":
    constant = {
        "service.name": "reflexd",
        "service.version": version,
        "process.pid": os.getpid(),
        "ecs.version": ECS_VERSION,
    }

    def render(record: "Record") -> str:
        event, fields = _event_of(record)
        line = {
            "@timestamp": timestamp(record["time"].astimezone(UTC)),
            "log.level": record["level"].name.lower(),
            "message": plain_text(record["message"]),
            "event.action": event,
            **constant,
        }
        for name, value in fields.items():
            if name != "error":
                line[f"reflexd.{name}"] = plain(value)
        line.update(_error_of(record, fields))
        return escaped_json(orjson.dumps(line).decode()) + "\n"

    return render


def _console_renderer(*, with_colour: bool) -> "Callable[[Record], str]":
    def render(record: "Record") -> str:
        event, fields = _event_of(record)
        level = record["level"].name
        shown = f"{_COLOURS.get(level, '')}{level:<7}\x1b[0m" if with_colour else f"{level:<7}"
        pairs = "".join(f" {name}={_on_one_line(plain(value))}" for name, value in fields.items() if name != "error")
        error = _error_of(record, fields)
        words = [f"{record['time']:%H:%M:%S}", shown, event, _on_one_line(plain_text(record["message"])) + pairs]
        if "error.message" in error:
            kind = f"{error['error.type']}: " if "error.type" in error else ""
            words.append(f"({kind}{_on_one_line(error['error.message'])})")
        return "  ".join(words) + "\n" + escaped_lines(error.get("error.stack_trace", ""))

    return render


def _event_of(record: "Record") -> tuple[str, Mapping[str, Any]]:
    extra = record["extra"]
    fields = extra.get("fields")
    return str(extra.get("event", "message")), fields if isinstance(fields, Mapping) else {}


def _error_of(record: "Record", fields: Mapping[str, Any]) -> dict[str, str]:
    """Return ``error.*`` of the exception in flight, or of the field ``error``: an exception or a text.

    The line has the stack from ERROR on; below that level the error was expected.
    """
    error: object = fields.get("error")
    caught = record["exception"]
    if error is None and caught is not None:
        error = caught.value if caught.value is not None else caught.type
    if error is None:
        return {}
    if not isinstance(error, BaseException):
        return {"error.message": str(plain(error))}
    found = {"error.type": type(error).__name__, "error.message": str(plain(error))}
    if error.__traceback__ is not None and record["level"].no >= logging.ERROR:
        found["error.stack_trace"] = _stack_of(error)
    return found


def _stack_of(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error, limit=-20))
    except Exception:  # whatever the exception carries, its line must come out
        return "<unprintable>\n"
    return plain_text(text, MAX_STACK)


def _on_one_line(value: object) -> str:
    return escaped(value if isinstance(value, str) else orjson.dumps(value).decode())


def log_library(name: str, level: str, text: str, error: object = None) -> None:
    """Write a library's log line, unless the library has written too many. ``name`` is the name of its logger."""
    now = time.monotonic()
    for each, count in BUDGET.told(now).items():
        fields = {"left_out": str(each), "count": count}
        logger.bind(event="log.left_out", fields=fields).info("An event came too often: so many lines were left out.")
    if BUDGET.take(f"library {name}", LIBRARY_LINES_PER_SECOND, now):
        fields = {"logger": name} if error is None else {"logger": name, "error": error}
        logger.bind(event="library", fields=fields).log(level, "{}", text)


class _ToLoguru(logging.Handler):
    """Passes the log lines of libraries on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # a library's wrong format string is not worth losing the line
            text = str(plain(record.msg))
        level = record.levelname if record.levelname in ("WARNING", "ERROR", "CRITICAL") else "WARNING"
        log_library(record.name, level, text, record.exc_info[1] if record.exc_info else None)
