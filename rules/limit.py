"""The limits of a workflow document, checked before anything in it is parsed.

They bound the memory, the time on the event loop and the depth of recursion that one document can cost the others.
Nothing here recurses, and the walk ends as soon as a limit is passed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import bson
from bson.errors import BSONError

from config.error import WorkflowError
from config.found import found, name_of
from rules.tree import check_tree, places_in
from rules.validation import joined

MOST_BYTES: Final = 256 * 1024
MOST_DEPTH: Final = 20
MOST_CONDITIONS: Final = 1_000

# A document within MOST_BYTES holds fewer: a value and its name take at least three bytes.
_MOST_VALUES: Final = MOST_BYTES // 3
_GROUPS: Final = ("all", "any", "none")


def check_limits(definition: Mapping[str, Any]) -> None:
    """Raise WorkflowError if the definition is larger, deeper or longer than allowed, or cannot be BSON."""
    _check_depth(definition)
    _check_size(definition)
    check_tree(definition.get("actions"))
    _check_conditions(definition)


def _check_depth(definition: Mapping[str, Any]) -> None:
    """Check how deep objects are nested; a list counts as a level only directly within a list."""
    values = 0
    stack: list[tuple[Any, str, int]] = [(definition, "", 1)]
    while stack:
        container, path, depth = stack.pop()
        values += len(container)
        if values > _MOST_VALUES:
            raise _too_large("more")
        if depth > MOST_DEPTH:
            raise WorkflowError(path, f"expected a depth of at most {MOST_DEPTH}, found more")
        for key, value in _members(container, path):
            if isinstance(value, Mapping | list | tuple):
                is_deeper = isinstance(value, Mapping) or not isinstance(container, Mapping)
                stack.append((value, joined(path, key), depth + is_deeper))


def _members(container: Any, path: str) -> Iterable[tuple[str | int, Any]]:
    if not isinstance(container, Mapping):
        return enumerate(container)
    for key in container:
        if not isinstance(key, str):
            raise WorkflowError(path, f"expected a text as key, found {found(key)}")
    return container.items()


def _check_size(definition: Mapping[str, Any]) -> None:
    try:
        size = len(bson.encode(definition))
    except (BSONError, OverflowError, ValueError, TypeError) as error:
        # Such a document did not come from MongoDB: integers of more than 64 bits, lone surrogates, NUL in a key.
        raise WorkflowError("", f"expected a document that can be stored as BSON: {name_of(str(error))}") from error
    if size > MOST_BYTES:
        raise _too_large(f"{size:,}")


def _too_large(size: str) -> WorkflowError:
    return WorkflowError("", f"expected at most {MOST_BYTES:,} bytes (256 KB) of BSON, found {size}")


def _check_conditions(definition: Mapping[str, Any]) -> None:
    """Count the conditions and groups of the workflow and of all its steps and cases together."""
    steps = [place.raw for place in places_in(definition.get("actions")) if isinstance(place.raw, Mapping)]
    cases = [case for step in steps for case in _list(step.get("cases")) if isinstance(case, Mapping)]
    lists = [holder.get("conditions") for holder in (definition, *steps, *cases)]
    count = 0
    while lists:
        conditions = lists.pop()
        if not isinstance(conditions, list):
            continue
        count += len(conditions)
        if count > MOST_CONDITIONS:
            raise WorkflowError("conditions", f"expected at most {MOST_CONDITIONS:,} conditions, found more")
        lists.extend(inner for inner in conditions if isinstance(inner, list))
        lists.extend(group.get(name) for group in conditions if isinstance(group, Mapping) for name in _GROUPS)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
