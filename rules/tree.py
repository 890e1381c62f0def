"""The steps of a definition as a tree: the place of each, and its successor.

This module checks the structure and the limits of LANGUAGE section 1, not whether a step is valid.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.error import WorkflowError
from rules.validation import joined

BRANCH: Final = "branch"
END: Final = "end"
OTHERWISE: Final = "otherwise"
FIRST: Final = "0"
MOST_NODES: Final = 200
NODE_PATTERN: Final = "^[0-9]{1,9}(\\.(cases\\.[0-9]{1,9}|otherwise)\\.[0-9]{1,9}){0,9}$"
_NODE: Final = re.compile(NODE_PATTERN)
DEEPEST: Final = 5  # lists of steps within one another; the workflow's own is the first


@dataclass(frozen=True, slots=True)
class Place:
    """One step where it stands.

    ``id`` is the stable name of its node, such as ``2.cases.0.1``; ``path`` leads into the document. ``following`` is
    the id of the node behind it: behind the last step of an arm, that is what follows the branch; behind the last of
    all, an id that no node has. ``arms``, of a branch: the id with which ``cases.0`` and the others, and ``otherwise``,
    begin. An empty arm begins with what follows the branch.
    """

    id: str
    path: str
    raw: Any
    following: str
    arms: Mapping[str, str]
    depth: int


def places_in(actions: object) -> Iterator[Place]:
    """Return the steps of a definition, those of arms behind their branch, one level deeper than allowed at most."""
    return _places(actions, "", "actions", "", 1)


def check_tree(actions: object) -> None:
    """Raise WorkflowError where there are more steps, or deeper ones, than a workflow may have."""
    for count, place in enumerate(places_in(actions), 1):
        if place.depth > DEEPEST:
            raise WorkflowError(place.path, f"expected steps at most {DEEPEST} levels deep, found more")
        if count > MOST_NODES:
            raise WorkflowError(place.path, f"expected at most {MOST_NODES} steps in a workflow, found more")


def number_of(node: str) -> int:
    """Return the number, from 0, of the workflow's own step that a node is or lies in."""
    return int(node.partition(".")[0])


def node_of(at: object, step: object) -> str:
    """Return where an execution stands whose document says ``at`` and ``step``.

    ``step`` is the number of the workflow's own step; one of the version before moves it and knows no ``at``.
    """
    return at if isinstance(at, str) and at.partition(".")[0] == str(step) else str(step)


def is_node(value: str) -> bool:
    """Return whether a text can be the id of a node."""
    return _NODE.fullmatch(value) is not None


def _places(actions: object, prefix: str, path: str, behind: str, depth: int) -> Iterator[Place]:
    if not isinstance(actions, list):
        return
    behind = behind or str(len(actions))
    for index, raw in enumerate(actions):
        node, where = f"{prefix}{index}", joined(path, index)
        following = f"{prefix}{index + 1}" if index + 1 < len(actions) else behind
        inner = list(_arms(raw, where)) if depth <= DEEPEST else []
        arms = {arm: f"{node}.{arm}.0" if isinstance(steps, list) and steps else following for arm, _, steps in inner}
        yield Place(node, where, raw, following, arms, depth)
        for arm, arm_path, steps in inner:
            yield from _places(steps, f"{node}.{arm}.", arm_path, following, depth + 1)


def _arms(raw: object, path: str) -> Iterator[tuple[str, str, object]]:
    """Return the arms of a branch: name, path, steps; nothing of any other step."""
    if not isinstance(raw, Mapping) or raw.get("type") != BRANCH:
        return
    cases = raw.get("cases")
    for index, case in enumerate(cases if isinstance(cases, list) else ()):
        steps = case.get("actions") if isinstance(case, Mapping) else None
        yield f"cases.{index}", joined(path, "cases", index, "actions"), steps
    yield OTHERWISE, joined(path, OTHERWISE), raw.get(OTHERWISE)
