"""Regular expressions of conditions: RE2, whose time grows with the text only, never with the pattern's nesting.

Patterns that RE2 does not support (look-around, back-references) are refused when the workflow is validated, and so are
large ones: RE2 tells the size of the program that it makes of a pattern. Programs are made when they are first needed,
and a bounded number is kept. A text longer than 32,768 characters never matches; the search in a shorter one is refused
where it could take too long.
"""

import re
from functools import lru_cache
from typing import Any, Final

import re2

from config.error import WorkflowError
from config.found import found
from rules.budget import Budget
from rules.value import Test

LONGEST_PATTERN: Final = 1_000
LONGEST_TEXT: Final = 32_768
MOST_INSTRUCTIONS: Final = 10_000  # of one pattern's program: RE2 takes 2 ms to make it
MOST_INSTRUCTIONS_OF_WORKFLOW: Final = 50_000
MOST_CLASSES: Final = 20  # of Unicode in one pattern: RE2 takes 80 µs to read one

_REFUSED: Final = 5_000  # instructions that a pattern counts for if RE2 finds it wrong or too large
# By the size of the program: the bytes it may take with its cache of states, and how many are kept; 48 MB in all.
_KINDS: Final = (
    (100, 64 * 1024, 512),
    (1_000, 128 * 1024, 64),
    (MOST_INSTRUCTIONS, 256 * 1024, 32),
)
_TEXT_STEPS: Final = 2  # a byte takes at the worst, where the cache of states does not help,
_PROGRAM_SHIFT: Final = 5  # and one more for every 32 instructions
_CLASS: Final = re.compile(r"\\[pP]|\[:\^?\w+:\]")
_UNSUPPORTED: Final = (
    (re.compile(r"\(\?<?[=!]"), "look-around (?=…), (?!…), (?<=…), (?<!…) is not supported"),
    (re.compile(r"\\[1-9]|\(\?P=|\\[gk][<{']"), "back-references are not supported"),
    (re.compile(r"\(\?>|[*+?}]\+"), "atomic groups and possessive repetition are not supported"),
)
_TOO_LARGE: Final = "pattern too large"  # RE2's words
_programs: Final[dict[int, dict[str, Any]]] = {most: {} for most, _, _ in _KINDS}  # by kind and pattern


class PatternBudget:
    """How large the programs of all patterns of one workflow may be together; equal patterns count once."""

    def __init__(self) -> None:
        self._left = MOST_INSTRUCTIONS_OF_WORKFLOW
        self._known: set[str] = set()

    def check(self, pattern: str, path: str) -> None:
        """Count the pattern at ``path``; raise WorkflowError if RE2 refuses it, or one of the limits is passed."""
        if pattern in self._known:
            return
        self._left -= _REFUSED
        if self._left >= 0:
            size = _checked_size(pattern, path)
            self._left += _REFUSED - size
        if self._left < 0:
            limit = f"{MOST_INSTRUCTIONS_OF_WORKFLOW:,} instructions"
            raise WorkflowError(path, f"expected patterns that compile to at most {limit} in all, found more")
        self._known.add(pattern)


def parse_pattern(raw: object, path: str) -> str:
    """Return ``raw`` if it may be a regular expression of RE2's syntax; raise WorkflowError at ``path`` if not.

    ``PatternBudget.check`` tells whether it is one.
    """
    if type(raw) is not str:  # not bson.Code: a str without a hash
        raise WorkflowError(path, f"expected a regular expression as a string, found {found(raw)}")
    if len(raw) > LONGEST_PATTERN:
        raise WorkflowError(path, f"expected a pattern of at most {LONGEST_PATTERN} characters, found {len(raw)}")
    classes = sum(1 for _ in _CLASS.finditer(raw))
    if classes > MOST_CLASSES:
        raise WorkflowError(
            path, f"expected a pattern with at most {MOST_CLASSES} classes such as \\pL, found {classes}"
        )
    try:
        raw.encode()
    except UnicodeEncodeError as error:
        raise WorkflowError(path, f"expected text that UTF-8 can hold, found {found(raw)}") from error
    return raw


def matching(pattern: str) -> Test:
    """Return the test whether a value is a text in which ``pattern`` is found."""
    size: int | None = None

    def test(value: Any, budget: Budget) -> bool:
        nonlocal size
        if type(value) is not str or len(value) > LONGEST_TEXT:
            return False
        if size is None:
            size = _size(pattern)
        text = value.encode("utf-8", "replace")
        budget.spend(5 + len(text) * (_TEXT_STEPS + (size >> _PROGRAM_SHIFT)))
        return _program(pattern, size, budget).search(text) is not None

    return test


def _program(pattern: str, size: int, budget: Budget) -> Any:
    """Return the program of a pattern, made anew where it is not kept."""
    kind, memory, most = next(each for each in _KINDS if size <= each[0])
    kept = _programs[kind]
    program = kept.get(pattern)
    if program is None:
        budget.spend(500 + 2 * size)
        program = _compiled(pattern, memory)
        if len(kept) >= most:
            kept.clear()
        kept[pattern] = program
    return program


@lru_cache(2_000)
def _size(pattern: str) -> int:
    """Return the number of instructions of a pattern's program; raise re2.error if RE2 makes none."""
    size: int = _compiled(pattern, _KINDS[-1][1]).programsize
    return size


def _checked_size(pattern: str, path: str) -> int:
    try:
        size = _size(pattern)
    except re2.error as error:
        why = _why(pattern, error)
        if not why.startswith(_TOO_LARGE):
            problem = f"expected a regular expression of RE2, found {found(pattern)}: {why}"
            raise WorkflowError(path, problem) from error
        size = MOST_INSTRUCTIONS + 1
    if size > MOST_INSTRUCTIONS:
        limit = f"{MOST_INSTRUCTIONS:,} instructions"
        raise WorkflowError(path, f"expected a pattern that compiles to at most {limit}, found {found(pattern)}")
    return size


def _compiled(pattern: str, memory: int) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory
    # Bytes: RE2 reads UTF-8 itself, and positions need not be translated back.
    program = re2.compile(pattern.encode(), options)
    re2.purge()  # the module keeps programs too
    return program


def _why(pattern: str, error: Exception) -> str:
    for unsupported, words in _UNSUPPORTED:
        if unsupported.search(pattern):
            return words
    problem = error.args[0] if error.args else ""
    return problem.decode("utf-8", "replace") if isinstance(problem, bytes) else str(problem)
