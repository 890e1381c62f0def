"""Write the warnings and uncaught errors that Python itself would print on stderr as log lines like all others."""

import sys
import threading
import warnings
from types import TracebackType
from typing import TextIO

from loguru import logger

from config.log import log_library

CRASHED = "The process ended by an error that nothing caught."


def capture_interpreter() -> None:
    """Send everything that the interpreter says through the log, from now on; for the process as a whole."""
    sys.excepthook = _crashed
    sys.unraisablehook = _unraisable
    threading.excepthook = _thread_ended
    warnings.showwarning = _warned


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger.bind(event="process.crashed", fields={"error": error.with_traceback(trace)}).error(CRASHED)


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    log_library("python.unraisable", "ERROR", found.err_msg or "An error could not be raised.", found.exc_value)


def _thread_ended(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is not SystemExit:
        log_library("python.thread", "ERROR", "A thread ended by an error.", found.exc_value)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log_library("python.warnings", "WARNING", f"{category.__name__}: {message} ({filename}:{lineno})")
