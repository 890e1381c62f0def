"""Regular expressions of conditions: RE2, whose time grows with the text only, never with the pattern's nesting.

What RE2 cannot do (look-around, back-references) and what could cost much (long patterns, large repetitions) is
refused when the workflow is validated. A text longer than 32,768 characters never matches: with the size of a
compiled pattern bounded too, one look takes well under 100 ms, however hostile both are.
"""

import re
from functools import lru_cache
from typing import Any, Final

import re2

from config.error import WorkflowError
from config.found import found
from rules.value import Test

LONGEST_PATTERN: Final = 1_000
LONGEST_TEXT: Final = 32_768
_COMPILED_BYTES: Final = 1 << 20

_UNSUPPORTED: Final = (
    (re.compile(r"\(\?<?[=!]"), "look-around (?=…), (?!…), (?<=…), (?<!…) is not supported"),
    (re.compile(r"\\[1-9]|\(\?P=|\\[gk][<{']"), "back-references are not supported"),
    (re.compile(r"\(\?>|[*+?}]\+"), "atomic groups and possessive repetition are not supported"),
)


def parse_pattern(raw: object, path: str) -> str:
    """Return ``raw`` if it is a regular expression of RE2's syntax; raise WorkflowError at ``path`` if not."""
    if type(raw) is not str:  # not bson.Code: a str without a hash
        raise WorkflowError(path, f"expected a regular expression as a string, found {found(raw)}")
    if len(raw) > LONGEST_PATTERN:
        raise WorkflowError(path, f"expected a pattern of at most {LONGEST_PATTERN} characters, found {len(raw)}")
    try:
        _compiled(raw)
    except UnicodeEncodeError as error:
        raise WorkflowError(path, f"expected text that UTF-8 can hold, found {found(raw)}") from error
    except re2.error as error:
        problem = f"expected a regular expression of RE2, found {found(raw)}: {_why(raw, error)}"
        raise WorkflowError(path, problem) from error
    return raw


def matching(pattern: str) -> Test:
    """Return the test whether a value is a text in which ``pattern`` is found."""
    search = _compiled(pattern).search

    def test(value: Any) -> bool:
        if type(value) is not str or len(value) > LONGEST_TEXT:
            return False
        return search(value.encode("utf-8", "replace")) is not None

    return test


@lru_cache(128)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _COMPILED_BYTES
    # Bytes: RE2 reads UTF-8 itself, and positions need not be translated back.
    return re2.compile(pattern.encode(), options)


def _why(pattern: str, error: Exception) -> str:
    for unsupported, words in _UNSUPPORTED:
        if unsupported.search(pattern):
            return words
    problem = error.args[0] if error.args else ""
    return problem.decode("utf-8", "replace") if isinstance(problem, bytes) else str(problem)
