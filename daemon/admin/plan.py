"""The steps of a definition as people read them: a tree, with the conditions of each way in words.

Whatever a document holds in the place of steps is shown; nothing here says whether it is valid.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.found import found, spelled
from rules.tree import BRANCH, DEEPEST, OTHERWISE

_NO_PARAMETERS: Final = ("type", "delay", "conditions", "on_failure", "retry", "timeout", "cases", OTHERWISE)
_GROUPS: Final = ("all", "any", "none")
_LONGEST: Final = 400  # characters of conditions

Document = dict[str, Any]


def plan_of(actions: object) -> list[Document]:
    """Return ``[{node, number, action_type, delay, when, parameters, ways: [{arm, name, when, steps}]}]``.

    ``when``: the conditions in words, nothing where there are none; ``ways``: of a branch, its cases and ``otherwise``,
    with their steps, five levels deep.
    """
    return list(_steps(actions, "", 1))


def lines_of(plan: list[Document], depth: int = 0) -> Iterator[Document]:
    """Yield the rows of a plan for a table, ``{node, step, when, delay, parameters}``, ``step`` indented."""
    indent = "  " * depth
    for step in plan:
        yield {**step, "step": f"{indent}{step['number']}. {step['action_type']}"}
        for way in step["ways"]:
            name = f" ({way['name']})" if way["name"] else ""
            yield {
                "node": f"{step['node']}.{way['arm']}",
                "step": f"{indent}  {way['arm']}{name}:",
                "when": way["when"],
            }
            yield from lines_of(way["steps"], depth + 2)


def label_of(node: object) -> str:
    """Return how people call a node: ``3``, or ``3 › case 1 › 2``."""
    names = str(node).split(".")
    told: list[str] = []
    for before, name in zip(["", *names], names, strict=False):
        if name.isdecimal():
            told.append(f"case {int(name) + 1}" if before == "cases" else str(int(name) + 1))
        elif name != "cases":
            told.append(name)
    return " › ".join(told)


def parameters_of(step: Mapping[str, Any]) -> Document:
    """Return the parameters that a step has of its own, without the keys of every step and the arms of a branch."""
    return {name: value for name, value in step.items() if name not in _NO_PARAMETERS}


def words_of(conditions: object) -> str:
    """Return conditions in words: ``score greater_than 80 and any of (stage equals 'won', is_vip equals true)``."""
    text = _all(conditions)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _steps(actions: object, prefix: str, depth: int) -> Iterator[Document]:
    for index, raw in enumerate(actions if isinstance(actions, list) and depth <= DEEPEST else ()):
        step = raw if isinstance(raw, Mapping) else {}
        node, action_type = f"{prefix}{index}", step.get("type")
        yield {
            "node": node,
            "number": index + 1,
            "action_type": action_type if isinstance(action_type, str) else found(raw),
            "delay": step.get("delay"),
            "when": words_of(step.get("conditions")),
            "parameters": parameters_of(step),
            "ways": list(_ways(step, node, depth)) if action_type == BRANCH else [],
        }


def _ways(branch: Mapping[str, Any], node: str, depth: int) -> Iterator[Document]:
    cases = branch.get("cases")
    for index, raw in enumerate(cases if isinstance(cases, list) else ()):
        case = raw if isinstance(raw, Mapping) else {}
        steps = list(_steps(case.get("actions"), f"{node}.cases.{index}.", depth + 1))
        when = words_of(case.get("conditions")) or "always"
        yield {"arm": f"cases.{index}", "name": case.get("name"), "when": when, "steps": steps}
    if branch.get(OTHERWISE):
        steps = list(_steps(branch[OTHERWISE], f"{node}.{OTHERWISE}.", depth + 1))
        yield {"arm": OTHERWISE, "name": None, "when": "", "steps": steps}


def _all(conditions: object) -> str:
    return " and ".join(map(_one, conditions)) if isinstance(conditions, list) else ""


def _one(condition: object) -> str:
    if not isinstance(condition, Mapping):
        return found(condition) if not isinstance(condition, list) else f"({_all(condition)})"
    for group in _GROUPS:
        members = condition.get(group)
        if isinstance(members, list):
            return f"{group} of ({', '.join(map(_one, members))})"
    value = f" {spelled(condition['value'])}" if "value" in condition else ""
    return f"{condition.get('field')} {condition.get('operator')}{value}"
